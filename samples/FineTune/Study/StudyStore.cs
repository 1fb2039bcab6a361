using System.Text.Json;
using System.Text.Json.Serialization;

namespace FineTune.Study;

/// <summary>The runs that are done, a line of JSON for each: a study that is interrupted at any moment goes on with the next.</summary>
internal sealed class StudyStore
{
    private static readonly JsonSerializerOptions s_options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals, // a model may have diverged
    };

    private readonly string path;
    private readonly List<StudyRun> runs = [];

    /// <param name="path">The file; it need not exist.</param>
    public StudyStore(string path)
    {
        this.path = path;
        if (!File.Exists(path))
        {
            return;
        }

        foreach (string line in File.ReadLines(path))
        {
            try
            {
                runs.Add(JsonSerializer.Deserialize<StudyRun>(line, s_options)!);
            }
            catch (JsonException)
            {
                // A line that a killed run did not finish: that run is made again.
            }
        }
    }

    public IReadOnlyList<StudyRun> Runs => runs;

    public bool Has(StudyRun cell) => runs.Exists(cell.SameCell);

    public void Add(StudyRun run)
    {
        runs.Add(run);
        using FileStream file = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite);
        bool whole = file.Length == 0 || EndsWithNewLine(file);
        file.Seek(0, SeekOrigin.End);
        if (!whole)
        {
            file.WriteByte((byte)'\n');
        }

        file.Write([.. JsonSerializer.SerializeToUtf8Bytes(run, s_options), (byte)'\n']);
    }

    private static bool EndsWithNewLine(FileStream file)
    {
        file.Seek(-1, SeekOrigin.End);
        return file.ReadByte() == '\n';
    }
}
