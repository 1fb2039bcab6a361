using System.Text.Json;
using System.Text.Json.Serialization;

namespace Asft.Bench.Results;

/// <summary>Result sets as JSON files, one for each command, in one directory.</summary>
/// <param name="directory">The directory.</param>
public sealed class ResultStore(string directory)
{
    /// <summary>Where results are kept unless told otherwise.</summary>
    public const string DefaultDirectory = "out/bench";

    private static readonly JsonSerializerOptions s_options = new() { WriteIndented = true, Converters = { new JsonStringEnumConverter() } };

    /// <summary>Where the files are.</summary>
    public string Directory { get; } = directory;

    /// <summary>Keeps results, in the place of earlier ones of that name.</summary>
    public void Save(string name, ResultSet results)
    {
        System.IO.Directory.CreateDirectory(Directory);
        string unfinished = File(name) + ".new";
        System.IO.File.WriteAllText(unfinished, JsonSerializer.Serialize(results, s_options));
        System.IO.File.Move(unfinished, File(name), overwrite: true);
    }

    /// <summary>Results of that name; null when there are none.</summary>
    /// <exception cref="UserErrorException">The file holds something else.</exception>
    public ResultSet? Load(string name)
    {
        if (!System.IO.File.Exists(File(name)))
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize<ResultSet>(System.IO.File.ReadAllText(File(name)), s_options);
        }
        catch (JsonException error)
        {
            throw new UserErrorException($"{File(name)} does not hold results of this program ({error.Message}) Delete it, and measure again.");
        }
    }

    private string File(string name) => Path.Combine(Directory, name + ".json");
}
