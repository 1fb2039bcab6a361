using static TorchSharp.torch;

namespace FineTune.Model;

/// <summary>Continues prompts with the likeliest token each time.</summary>
internal static class GreedyDecoder
{
    /// <summary>Answers all prompts as one batch; a response without an end after <paramref name="longest"/> tokens is cut there.</summary>
    public static string[] Answer(LanguageModel model, IReadOnlyList<string> prompts, int longest)
    {
        long[][] encoded = [.. prompts.Select(ByteTokenizer.EncodePrompt)];
        int[] lengths = [.. encoded.Select(p => p.Length)];
        int context = Math.Min(model.Shape.Context, lengths.Max() + longest);
        var responses = encoded.Select(_ => new List<long>()).ToArray();
        long[] current = [.. encoded.Select(p => p[0])];
        bool[] ended = new bool[encoded.Length];

        using var noGrad = no_grad();
        using var cache = new KeyValueCache(model.Shape, encoded.Length, context);

        // Every row stands at the same position, some still reading their prompt, others already writing:
        // so prompts of any lengths share a batch without padding or masks.
        for (int position = 0; position < context - 1 && ended.Contains(false); position++)
        {
            using var scope = NewDisposeScope();
            var logits = model.forward(tensor(current).unsqueeze(1), cache);
            cache.Length++;
            long[] likeliest = [.. logits.squeeze(1).argmax(-1).data<long>()];

            for (int row = 0; row < encoded.Length; row++)
            {
                if (position + 1 < lengths[row])
                {
                    current[row] = encoded[row][position + 1];
                    continue;
                }

                current[row] = likeliest[row];
                ended[row] |= current[row] == ByteTokenizer.End || responses[row].Count == longest;
                if (!ended[row])
                {
                    responses[row].Add(current[row]);
                }
            }
        }

        return [.. responses.Select(ByteTokenizer.Decode)];
    }
}
