using System.Text.Json;
using FineTune.Model;

namespace FineTune.Problems;

/// <summary>Reads a user's examples: one JSON object per line, with the texts "prompt" and "response". Blank lines are skipped.</summary>
internal static class JsonLines
{
    public static Example[] Read(string path, int context)
    {
        try
        {
            return
            [
                .. File.ReadLines(path)
                    .Select((line, index) => (Line: line, Place: $"{path}, line {index + 1}"))
                    .Where(entry => !string.IsNullOrWhiteSpace(entry.Line))
                    .Select(entry => Parse(entry.Line, entry.Place, context)),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot read the data: {error.Message}");
        }
    }

    private static Example Parse(string line, string place, int context)
    {
        var example = new Example(Text(line, place, "prompt"), Text(line, place, "response"));
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

    private static string Text(string line, string place, string name)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            return json.RootElement.ValueKind == JsonValueKind.Object
                && json.RootElement.TryGetProperty(name, out var value)
                && value.ValueKind == JsonValueKind.String
                    ? value.GetString()!
                    : throw new UserErrorException($"{place}: there is no text named \"{name}\".");
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a text with half a surrogate pair, which is JSON but no Unicode.
            throw new UserErrorException($"{place}: this is not a line of valid JSON.");
        }
    }
}
