using FineTune.Model;
using FineTune.Problems;
using static TorchSharp.torch;

namespace FineTune.Training;

/// <summary>
/// Examples as tensors <c>[B, T]</c>, T being the longest of them. Labels equal the tokens in the response and its end, and
/// are -100, which the loss ignores, in the prompt and in the padding: the model learns to answer, not to ask.
/// </summary>
internal sealed class Batch : IDisposable
{
    public const long Ignored = -100;

    private Batch(IReadOnlyList<Example> examples, Tensor tokens, Tensor labels) =>
        (Examples, Tokens, Labels) = (examples, tokens, labels);

    public IReadOnlyList<Example> Examples { get; }

    public Tensor Tokens { get; }

    public Tensor Labels { get; }

    public static Batch Of(IReadOnlyList<Example> examples)
    {
        var encoded = examples
            .Select(e => (Prompt: ByteTokenizer.EncodePrompt(e.Prompt), Response: ByteTokenizer.EncodeResponse(e.Response)))
            .ToArray();
        int length = encoded.Max(e => e.Prompt.Length + e.Response.Length);
        long[] tokens = new long[encoded.Length * length];
        long[] labels = new long[encoded.Length * length];
        Array.Fill(tokens, ByteTokenizer.End);
        Array.Fill(labels, Ignored);
        for (int row = 0; row < encoded.Length; row++)
        {
            var (prompt, response) = encoded[row];
            int start = row * length;
            prompt.CopyTo(tokens, start);
            response.CopyTo(tokens, start + prompt.Length);
            response.CopyTo(labels, start + prompt.Length);
        }

        return new Batch(
            examples,
            tensor(tokens, encoded.Length, length),
            tensor(labels, encoded.Length, length));
    }

    /// <summary>The tokens of one example alone, as they stand in a batch before the padding.</summary>
    public static long[] Encode(Example example) =>
        [.. ByteTokenizer.EncodePrompt(example.Prompt), .. ByteTokenizer.EncodeResponse(example.Response)];

    public void Dispose()
    {
        Tokens.Dispose();
        Labels.Dispose();
    }
}
