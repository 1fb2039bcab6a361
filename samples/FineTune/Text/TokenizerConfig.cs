using System.Text.Json;

namespace FineTune.Text;

/// <summary>What <c>tokenizer_config.json</c> says besides the tokenizer itself.</summary>
/// <param name="BeginOfText">The text of <c>bos_token</c>.</param>
/// <param name="EndOfText">The text of <c>eos_token</c>.</param>
/// <param name="ChatTemplate">The template named <c>default</c>, or the only one.</param>
internal sealed record TokenizerConfig(string? BeginOfText, string? EndOfText, string? ChatTemplate)
{
    /// <summary>Reads the file; where there is none, nothing is said. A file <c>chat_template.jinja</c> goes before its template.</summary>
    /// <param name="checkpointFolder">The folder that may have them.</param>
    /// <exception cref="UserErrorException">One of them cannot be read.</exception>
    public static TokenizerConfig Load(string checkpointFolder)
    {
        string path = Path.Combine(checkpointFolder, "tokenizer_config.json");
        TokenizerConfig config = File.Exists(path)
            ? JsonFile.Read(path, root => new TokenizerConfig(Token(root, "bos_token"), Token(root, "eos_token"), Template(root)))
            : new TokenizerConfig(null, null, null);
        string template = Path.Combine(checkpointFolder, "chat_template.jinja");
        try
        {
            return File.Exists(template) ? config with { ChatTemplate = File.ReadAllText(template) } : config;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot read the chat template: {error.Message}");
        }
    }

    /// <summary>A token is given as its text, or as an object with it.</summary>
    private static string? Token(JsonElement root, string name) => !root.TryGetProperty(name, out JsonElement token)
        ? null
        : token.ValueKind == JsonValueKind.Object ? token.GetProperty("content").GetString() : token.GetString();

    private static string? Template(JsonElement root)
    {
        if (!root.TryGetProperty("chat_template", out JsonElement template) || template.ValueKind != JsonValueKind.Array)
        {
            return template.ValueKind == JsonValueKind.String ? template.GetString() : null;
        }

        JsonElement[] named = [.. template.EnumerateArray()];
        JsonElement chosen = named.Length == 1 ? named[0] : Array.Find(named, one => one.GetProperty("name").GetString() == "default");
        return chosen.ValueKind == JsonValueKind.Undefined ? null : chosen.GetProperty("template").GetString();
    }
}
