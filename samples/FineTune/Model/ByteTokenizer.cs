using System.Text;

namespace FineTune.Model;

/// <summary>One token per byte of UTF-8, a separator between prompt and response, and an end.</summary>
internal static class ByteTokenizer
{
    public const long Separator = 256;
    public const long End = 257;
    public const int Vocabulary = 258;

    /// <summary>The most tokens that the model reads: prompt, separator, response and end together.</summary>
    public const int Context = 256;

    public static long[] EncodePrompt(string prompt) => [.. Bytes(prompt), Separator];

    public static long[] EncodeResponse(string response) => [.. Bytes(response), End];

    /// <summary>Bytes that are no UTF-8 become U+FFFD, which no reference response contains.</summary>
    public static string Decode(IEnumerable<long> tokens) =>
        Encoding.UTF8.GetString([.. tokens.Where(t => t < 256).Select(t => (byte)t)]);

    private static IEnumerable<long> Bytes(string text) => Encoding.UTF8.GetBytes(text).Select(b => (long)b);
}
