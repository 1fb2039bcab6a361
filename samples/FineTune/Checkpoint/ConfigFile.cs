using System.Text.Json;

namespace FineTune.Checkpoint;

/// <summary>The fields of a JSON object in a file, each with its own error when it is missing or no sensible value.</summary>
internal sealed class ConfigFile(string path, JsonElement fields)
{
    private const int MostBytes = 1 << 26;

    /// <summary>How such files are written.</summary>
    public static JsonSerializerOptions Indented { get; } = new() { WriteIndented = true };

    /// <summary>Reads a file that is one JSON object.</summary>
    /// <exception cref="UserErrorException">It cannot be read or is something else.</exception>
    public static ConfigFile Read(string path)
    {
        try
        {
            var file = new FileInfo(path);
            if (!file.Exists || file.Length is 0 or > MostBytes)
            {
                throw new UserErrorException($"'{path}' {(file.Exists ? $"has {file.Length} bytes" : "is not there")}.");
            }

            var root = JsonElement.Parse(File.ReadAllBytes(path));
            return root.ValueKind == JsonValueKind.Object ? new ConfigFile(path, root) : throw new JsonException("it is no object");
        }
        catch (JsonException error)
        {
            throw new UserErrorException($"'{path}' is no JSON object ({error.Message.TrimEnd('.')}).");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot read '{path}' ({error.Message.TrimEnd('.')}).");
        }
    }

    /// <summary>Whether a field is there and not null.</summary>
    public bool Has(string name) => fields.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null;

    /// <summary>A text.</summary>
    public string Text(string name) => Find(name) is { ValueKind: JsonValueKind.String } value ? value.GetString()! : throw Wrong(name, "a text");

    /// <summary>A size: a whole number above 0.</summary>
    public int Size(string name) =>
        Find(name) is { ValueKind: JsonValueKind.Number } value && value.TryGetInt32(out int size) && size > 0
            ? size
            : throw Wrong(name, "a whole number above 0");

    /// <summary>A number above 0.</summary>
    public double Positive(string name) =>
        Find(name) is { ValueKind: JsonValueKind.Number } value && value.TryGetDouble(out double number) && number > 0 && double.IsFinite(number)
            ? number
            : throw Wrong(name, "a number above 0");

    /// <summary>True or false, which it also is where it is not there.</summary>
    public bool Flag(string name) => Has(name) && Find(name).ValueKind switch
    {
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        _ => throw Wrong(name, "true or false"),
    };

    /// <summary>One whole number or several, in a list.</summary>
    public int[] WholeNumbers(string name)
    {
        JsonElement value = Find(name);
        JsonElement[] all = value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()] : [value];
        return Array.ConvertAll(
            all,
            one => one.ValueKind == JsonValueKind.Number && one.TryGetInt32(out int number) ? number : throw Wrong(name, "a whole number or a list of them"));
    }

    /// <summary>An object.</summary>
    public ConfigFile Object(string name) =>
        Find(name) is { ValueKind: JsonValueKind.Object } value ? new ConfigFile(path, value) : throw Wrong(name, "an object");

    /// <summary>The fields and their values.</summary>
    public IEnumerable<JsonProperty> All() => fields.EnumerateObject();

    /// <summary>The error for a field that has a value it must not have.</summary>
    public UserErrorException Wrong(string name, string wanted) =>
        new($"'{path}': \"{name}\" must be {wanted}, not {(fields.TryGetProperty(name, out JsonElement value) ? value.GetRawText() : "missing")}.");

    private JsonElement Find(string name) => fields.TryGetProperty(name, out JsonElement value) ? value : default;
}
