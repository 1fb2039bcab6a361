using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>One of the tensors that a cache keeps of an example.</summary>
/// <param name="Name">What its name in a file ends with.</param>
/// <param name="Type">Its dtype; int32 for indices.</param>
/// <param name="Shape">Its shape at one token: all of it is <c>[T, ...]</c>.</param>
/// <param name="Padding">Makes what stands for tokens that are not there; of a shape that broadcasts.</param>
internal sealed record CachePart(string Name, ScalarType Type, long[] Shape, Func<Tensor> Padding)
{
    /// <summary>Whether this is the shape of some number of tokens.</summary>
    public bool Fits(ReadOnlySpan<long> shape) => shape.Length == Shape.Length + 1 && shape[1..].SequenceEqual(Shape);

    /// <summary>Copies the tensors of an example: dense, in host memory, of the dtypes of the parts, in no dispose scope.</summary>
    /// <param name="parts">What they must be.</param>
    /// <param name="tensors">One for each part.</param>
    /// <param name="name">What the caller calls them all.</param>
    /// <exception cref="ArgumentException">One has another shape or kind of numbers, or an index that is none.</exception>
    public static Tensor[] CopyAll(CachePart[] parts, IReadOnlyList<Tensor> tensors, string name)
    {
        for (int i = 0; i < parts.Length; i++)
        {
            parts[i].Check(tensors[i], name);
        }

        if (tensors.Any(tensor => tensor.size(0) != tensors[0].size(0)))
        {
            throw new ArgumentException(
                $"{name} must have as many tokens in each of its tensors; got {string.Join(" and ", tensors.Select(TensorMemory.Describe))}.", name);
        }

        var copies = new List<Tensor>();
        try
        {
            for (int i = 0; i < parts.Length; i++)
            {
                copies.Add(TensorMemory.Empty(tensors[i].shape, parts[i].Type, CPU).DetachFromDisposeScope());
                using Tensor constant = tensors[i].detach();
                copies[i].copy_(constant);
            }

            return [.. copies];
        }
        catch
        {
            copies.ForEach(copy => copy.Dispose());
            throw;
        }
    }

    private void Check(Tensor tensor, string name)
    {
        bool isIndex = Type == ScalarType.Int32;
        bool isKind = isIndex ? tensor.dtype is ScalarType.Int64 or ScalarType.Int32 : TensorMemory.TypeOf(tensor) is not null;
        if (!isKind || tensor.is_sparse || !Fits(tensor.shape))
        {
            string kind = isIndex ? "an int64 or int32" : "a floating-point";
            string shape = string.Join(", ", ["T", .. Shape.Select(size => Invariant($"{size}"))]);
            throw new ArgumentException(
                $"{name} must have as its {Name} {kind} tensor of the shape [{shape}]; got {TensorMemory.Describe(tensor)}.", name);
        }

        if (isIndex && tensor.numel() > 0)
        {
            using Tensor least = tensor.min();
            using Tensor greatest = tensor.max();
            (double low, double high) = (TensorMemory.First(least), TensorMemory.First(greatest));
            if (low < 0 || high > int.MaxValue)
            {
                throw OutOfRange.Of(name, low < 0 ? low : high, Invariant($"of {Name} in [0, {int.MaxValue}]"));
            }
        }
    }
}
