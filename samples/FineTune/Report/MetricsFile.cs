using System.Text.Json;
using System.Text.Json.Serialization;

namespace FineTune.Report;

/// <summary>
/// <c>metrics.jsonl</c>: a line of JSON for each step, written as it ends, with the names of <see cref="TrainingStep"/>. A number
/// that is none is <c>null</c>.
/// </summary>
internal sealed class MetricsFile : ITrainingLog, IDisposable
{
    private static readonly JsonSerializerOptions s_options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Converters = { new NullForNaN() },
    };

    private readonly FileStream file;

    private MetricsFile(FileStream file) => this.file = file;

    /// <summary>Opens the file to go on behind a step: lines of later ones, which are made again, and one that was not finished, are removed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="afterStep">The last step whose line stays; 0 for a new training.</param>
    public static MetricsFile Open(string path, int afterStep)
    {
        byte[] kept = File.Exists(path) && afterStep > 0
            ? [.. Read(path).Where(step => step.Step <= afterStep).SelectMany(step => Line(step))]
            : [];
        WholeFile.Write(path, kept);
        return new MetricsFile(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read));
    }

    /// <summary>The steps of a file, as far as its lines are whole.</summary>
    public static TrainingStep[] Read(string path)
    {
        var steps = new List<TrainingStep>();
        foreach (string line in File.ReadLines(path))
        {
            try
            {
                steps.Add(JsonSerializer.Deserialize<TrainingStep>(line, s_options)!);
            }
            catch (JsonException)
            {
                break; // the last line of a run that was killed
            }
        }

        return [.. steps];
    }

    public void Report(TrainingStep step)
    {
        file.Write(Line(step));
        file.Flush(); // to the system, so that it can be followed, and outlives the process
    }

    public void Note(string message)
    {
        // Not a number.
    }

    public void Dispose() => file.Dispose();

    private static byte[] Line(TrainingStep step) => [.. JsonSerializer.SerializeToUtf8Bytes(step, s_options), (byte)'\n'];

    private sealed class NullForNaN : JsonConverter<double>
    {
        public override bool HandleNull => true;

        public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            reader.TokenType == JsonTokenType.Null ? double.NaN : reader.GetDouble();

        public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
        {
            if (double.IsFinite(value))
            {
                writer.WriteNumberValue(value);
            }
            else
            {
                writer.WriteNullValue();
            }
        }
    }
}
