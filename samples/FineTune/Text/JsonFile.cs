using System.Text.Json;

namespace FineTune.Text;

/// <summary>A JSON file that someone else wrote.</summary>
internal static class JsonFile
{
    /// <summary>Reads a file and makes something of it.</summary>
    /// <exception cref="UserErrorException">
    /// It cannot be read, is no JSON, or <paramref name="make"/> found something of the wrong type or threw this exception itself; the message names
    /// the file.
    /// </exception>
    public static T Read<T>(string path, Func<JsonElement, T> make)
    {
        try
        {
            using var json = JsonDocument.Parse(File.ReadAllBytes(path));
            return make(json.RootElement);
        }
        catch (UserErrorException error)
        {
            throw new UserErrorException($"{path}: {error.Message}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot read '{path}': {error.Message}");
        }
        catch (JsonException error)
        {
            throw new UserErrorException($"{path} is not valid JSON: {error.Message}");
        }
        catch (Exception error) when (error is InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new UserErrorException($"{path} has a part of an unexpected type: {error.Message}");
        }
    }
}
