using System.Text.Json;
using System.Text.Unicode;
using FineTune.Model;

namespace FineTune.Problems;

/// <summary>Reads a user's files of one JSON object per line. Blank lines are skipped.</summary>
internal static class JsonLines
{
    /// <summary>Reads the examples for a model of bytes.</summary>
    /// <param name="path">The file.</param>
    /// <param name="context">The most tokens that the model reads.</param>
    /// <exception cref="UserErrorException">The file cannot be read, or a line not used.</exception>
    public static Example[] Read(string path, int context) =>
        Read(path, (line, place) =>
        {
            Example example = Pair(line, place);
            int tokens = ByteTokenizer.EncodePrompt(example.Prompt).Length + ByteTokenizer.EncodeResponse(example.Response).Length;
            return tokens <= context
                ? example
                : throw new UserErrorException(
                    $"{place}: prompt and response take {tokens - 2} bytes, and the model reads no more than {context - 2}.");
        });

    /// <summary>Reads a file, and makes something of each line that is not blank.</summary>
    /// <param name="path">The file.</param>
    /// <param name="make">Given a line's JSON, and where it stands, for messages.</param>
    /// <exception cref="UserErrorException">The file cannot be read, or a line has no JSON.</exception>
    public static T[] Read<T>(string path, Func<JsonElement, string, T> make)
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
                    .Select(entry => Parse(entry.Line, $"{path}, line {entry.Number}", make)),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot read the data: {error.Message}");
        }
    }

    /// <summary>The texts "prompt" and "response" of a line.</summary>
    /// <exception cref="UserErrorException">One of them is missing, or the response is empty.</exception>
    public static Example Pair(JsonElement line, string place)
    {
        var example = new Example(Text(line, place, "prompt"), Text(line, place, "response"));
        return example.Response.Length > 0 ? example : throw new UserErrorException($"{place}: the response is empty.");
    }

    /// <summary>A text of a JSON object.</summary>
    /// <exception cref="UserErrorException">It has none of this name.</exception>
    public static string Text(JsonElement line, string place, string name) =>
        line.ValueKind == JsonValueKind.Object
        && line.TryGetProperty(name, out JsonElement value)
        && value.ValueKind == JsonValueKind.String
            ? value.GetString()!
            : throw new UserErrorException($"{place}: there is no text named \"{name}\".");

    private static T Parse<T>(ReadOnlyMemory<byte> line, string place, Func<JsonElement, string, T> make)
    {
        if (!Utf8.IsValid(line.Span))
        {
            throw new UserErrorException($"{place}: these bytes are not UTF-8.");
        }

        try
        {
            using var json = JsonDocument.Parse(line);
            return make(json.RootElement, place);
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a text with half a surrogate pair, which is JSON but no Unicode.
            throw new UserErrorException($"{place}: this is not a line of valid JSON.");
        }
    }
}
