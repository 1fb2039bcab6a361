using System.Text.Encodings.Web;
using System.Text.Json;

namespace FineTune.Text;

/// <summary>Says whether the tokenizer of a checkpoint can be used, and what it makes of a text.</summary>
internal static class TokenizerCheck
{
    private const string Question = """[{"role": "user", "content": "Hello"}]""";

    private static readonly JsonSerializerOptions s_readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes what is found.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="checkpointFolder">The folder with <c>tokenizer.json</c>.</param>
    /// <param name="text">What to encode, and to decode again; null for nothing.</param>
    /// <exception cref="UserErrorException">It cannot be used; the message names the part of the file that is not supported.</exception>
    public static void Write(TextWriter output, string checkpointFolder, string? text)
    {
        var tokenizer = Tokenizer.Load(checkpointFolder);
        using ChatTemplate? template = ChatTemplate.Load(checkpointFolder);
        output.WriteLine($"The tokenizer is supported: {tokenizer.VocabularySize} tokens.");
        output.WriteLine(tokenizer.EndOfText is { } end
            ? $"A response ends with {end} ({tokenizer.Decode([end])})."
            : "tokenizer_config.json names no token that ends a response: none is put there.");
        if (tokenizer.Prefix.Count > 0)
        {
            output.WriteLine($"A text begins with {string.Join(", ", tokenizer.Prefix.Select(id => $"{id} ({tokenizer.Decode([id])})"))}.");
        }

        output.WriteLine(template is null
            ? "There is no chat template: a prompt and its response stand one behind the other."
            : $"A chat template writes a conversation, which begins {Quoted(template.Render(Question, addGenerationPrompt: true))}.");
        if (text is not null)
        {
            int[] tokens = tokenizer.Encode(text);
            output.WriteLine($"{Quoted(text)} is {tokens.Length} tokens:");
            output.WriteLine(string.Join(' ', tokens));
            output.WriteLine(string.Join(' ', tokens.Select(id => Quoted(tokenizer.Decode([id])))));
            string back = tokenizer.Decode(tokens);
            output.WriteLine(back == text ? "They decode to the same text." : $"They decode to {Quoted(back)}.");
        }
    }

    private static string Quoted(string text) => JsonSerializer.Serialize(text, s_readable);
}
