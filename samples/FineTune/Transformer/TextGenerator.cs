using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>Continues a text with the likeliest token each time.</summary>
internal static class TextGenerator
{
    /// <summary>The tokens after a prompt, without the one that ends them.</summary>
    /// <param name="model">The model.</param>
    /// <param name="prompt">Tokens, at least one.</param>
    /// <param name="longest">The most tokens of the answer.</param>
    /// <param name="ends">Tokens that end it.</param>
    /// <param name="stop">Ends it at the next token, with an <see cref="OperationCanceledException"/>.</param>
    public static int[] Answer(Decoder model, IReadOnlyList<int> prompt, int longest, IReadOnlySet<int> ends, CancellationToken stop = default)
    {
        model.eval();
        using var noGrad = no_grad();
        using var cache = new KeyValues(model.Config.Layers);
        var answer = new List<int>();
        long[] next = [.. prompt];
        while (answer.Count < longest)
        {
            stop.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            SequenceLayout layout = SequenceLayout.Plain(model.Config, cache.Length, next.Length, model.HeadWeight);
            Tensor last = model.Hidden(tensor(next).unsqueeze(0), layout, cache)[0, -1];
            int likeliest = (int)nn.functional.linear(last, model.HeadWeight).argmax().item<long>();
            if (ends.Contains(likeliest))
            {
                break;
            }

            answer.Add(likeliest);
            next = [likeliest];
        }

        return [.. answer];
    }
}
