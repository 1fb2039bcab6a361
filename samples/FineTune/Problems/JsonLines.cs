using System.Text.Json;
using System.Text.Unicode;
using FineTune.Model;

namespace FineTune.Problems;

/// <summary>Reads a user's examples: one JSON object per line, with the texts "prompt" and "response". Blank lines are skipped.</summary>
internal static class JsonLines
{
    public static Example[] Read(string path, int context)
    {
        if (Directory.Exists(path))
        {
            throw new UserErrorException($"Cannot read the data: '{path}' is a directory.");
        }

        try
        {
            using FileStream file = File.OpenRead(path);
            return
            [
                .. Utf8Lines.Read(file, path)
                    .Where(entry => entry.Line.Span.ContainsAnyExcept(" \t\r"u8))
                    .Select(entry => Parse(entry.Line, $"{path}, line {entry.Number}", context)),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot read the data: {error.Message}");
        }
    }

    private static Example Parse(ReadOnlyMemory<byte> line, string place, int context)
    {
        if (!Utf8.IsValid(line.Span))
        {
            throw new UserErrorException($"{place}: these bytes are not UTF-8.");
        }

        Example example = Texts(line, place);
        if (example.Response.Length == 0)
        {
            throw new UserErrorException($"{place}: the response is empty.");
        }

        int tokens = ByteTokenizer.EncodePrompt(example.Prompt).Length + ByteTokenizer.EncodeResponse(example.Response).Length;
        return tokens <= context
            ? example
            : throw new UserErrorException(
                $"{place}: prompt and response take {tokens - 2} bytes, and the model reads no more than {context - 2}.");
    }

    private static Example Texts(ReadOnlyMemory<byte> line, string place)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            return new Example(Text(json.RootElement, place, "prompt"), Text(json.RootElement, place, "response"));
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a text with half a surrogate pair, which is JSON but no Unicode.
            throw new UserErrorException($"{place}: this is not a line of valid JSON.");
        }
    }

    private static string Text(JsonElement line, string place, string name) =>
        line.ValueKind == JsonValueKind.Object
        && line.TryGetProperty(name, out JsonElement value)
        && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : throw new UserErrorException($"{place}: there is no text named \"{name}\".");
}
