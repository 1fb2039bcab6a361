using Asft.Interop;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>What a reference said of each example, from a cache on disk: no reference model is run, or in memory.</summary>
/// <param name="cache">The cache, of any form.</param>
/// <param name="head">The head of cached hidden states, a frozen copy; null where the model's own is frozen, and for the other forms.</param>
internal sealed class CachedAnchor(ReferenceCache cache, Tensor? head) : IAnchor
{
    public TokenReference Of(MicroBatch batch)
    {
        using var scope = NewDisposeScope();
        Tensor[]? rows = null;
        bool isTopK = false;
        int example = 0;
        for (int row = 0; row < batch.Examples.Count; row++)
        {
            long start = 0;
            foreach (int number in batch.Examples[row])
            {
                TokenReference read = cache.Read(number);
                isTopK = read.Tensors.Count > 1;
                rows ??= [.. read.Tensors.Select(part => Padding(part, batch.Tokens.shape, isTopK))];
                foreach ((Tensor part, Tensor into) in read.Tensors.Zip(rows))
                {
                    into.select(0, row).narrow(0, start, batch.Lengths[example]).copy_(part);
                }

                start += batch.Lengths[example++];
            }
        }

        foreach (Tensor part in rows!)
        {
            part.MoveToOuterDisposeScope();
        }

        return isTopK ? TokenReference.TopK(rows[0], rows[1])
            : rows[0].dim() == 2 ? TokenReference.LabelLogProbabilities(rows[0])
            : TokenReference.Hidden(rows[0], head);
    }

    /// <summary>A valid reference for tokens whose labels are ignored: of top-k entries, those of the first tokens, together at 1/2.</summary>
    private static Tensor Padding(Tensor part, long[] tokens, bool isTopK)
    {
        long[] shape = [.. tokens, .. part.shape[1..]];
        return !isTopK ? zeros(shape, part.dtype)
            : part.dtype == ScalarType.Int32 ? arange(shape[^1], ScalarType.Int32).expand(shape).contiguous()
            : full(shape, -Math.Log(2.0 * shape[^1]), part.dtype);
    }
}
