using System.Globalization;
using System.Text;
using System.Text.Json;
using Asft.Kernels.Cuda;

namespace Asft.GpuCheck;

/// <summary>What a GPU said.</summary>
/// <param name="Device">The device.</param>
/// <param name="Driver">Its driver.</param>
/// <param name="IsMachine">Whether the device is the virtual machine, whose times mean nothing.</param>
/// <param name="Checks">What was checked.</param>
/// <param name="CopyBandwidth">How fast the memory copies, in GB/s.</param>
/// <param name="Vocabularies">Times by objective, type and vocabulary.</param>
/// <param name="RowCounts">Times by number of rows.</param>
/// <param name="LeftBytes">Device memory that was free at the start and is not at the end.</param>
internal sealed record GpuReport(
    CudaDevice Device,
    string Driver,
    bool IsMachine,
    IReadOnlyList<CheckResult> Checks,
    double CopyBandwidth,
    IReadOnlyList<TimeResult> Vocabularies,
    IReadOnlyList<TimeResult> RowCounts,
    long LeftBytes)
{
    /// <summary>How many checks failed.</summary>
    public int Failed => Checks.Count(check => check.Failure is not null);

    /// <summary>Writes the page for people.</summary>
    /// <returns>Markdown.</returns>
    public string Markdown()
    {
        var page = new StringBuilder();
        page.Append(CultureInfo.InvariantCulture, $"# {Device.Name}\n\n");
        if (IsMachine)
        {
            page.Append("**The device is the virtual machine: the checks count, the times mean nothing.**\n\n");
        }

        page.Append("| | |\n| --- | --- |\n");
        page.Append(CultureInfo.InvariantCulture, $"| compute capability | {Device.Major}.{Device.Minor} |\n");
        page.Append(CultureInfo.InvariantCulture, $"| multiprocessors | {Device.Multiprocessors} |\n");
        page.Append(CultureInfo.InvariantCulture, $"| memory | {Device.MemoryBytes / 1e9:F1} GB |\n");
        page.Append(CultureInfo.InvariantCulture, $"| driver | {Driver} |\n");
        page.Append(CultureInfo.InvariantCulture, $"| a copy on the device | {CopyBandwidth:F0} GB/s, reads and writes |\n");
        page.Append(CultureInfo.InvariantCulture, $"| checks | {Checks.Count - Failed} passed, {Failed} failed |\n");
        page.Append(CultureInfo.InvariantCulture, $"| device memory not given back | {LeftBytes} bytes |\n\n");
        foreach (CheckResult check in Checks.Where(check => check.Failure is not null))
        {
            page.Append(CultureInfo.InvariantCulture, $"- **{check.Name}**: {check.Failure}\n");
        }

        AddTable(page, "Vocabularies", Vocabularies);
        AddTable(page, "Rows", RowCounts);
        return page.ToString();
    }

    /// <summary>Writes the same for programs.</summary>
    /// <returns>JSON.</returns>
    public string Json()
    {
        using var text = new MemoryStream();
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("device", Device.Name);
            json.WriteString("computeCapability", Invariant($"{Device.Major}.{Device.Minor}"));
            json.WriteNumber("multiprocessors", Device.Multiprocessors);
            json.WriteNumber("memoryBytes", Device.MemoryBytes);
            json.WriteString("driver", Driver);
            json.WriteBoolean("isVirtualMachine", IsMachine);
            json.WriteNumber("copyGigabytesPerSecond", CopyBandwidth);
            json.WriteNumber("leftBytes", LeftBytes);
            json.WriteStartArray("checks");
            foreach (CheckResult check in Checks)
            {
                json.WriteStartObject();
                json.WriteString("name", check.Name);
                json.WriteString("failure", check.Failure);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            WriteTimes(json, "vocabularies", Vocabularies);
            WriteTimes(json, "rows", RowCounts);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(text.ToArray()) + "\n";
    }

    private void AddTable(StringBuilder page, string title, IReadOnlyList<TimeResult> times)
    {
        page.Append(CultureInfo.InvariantCulture, $"\n## {title}\n\n| objective | type | V | N | pass | ms | GB/s | of a copy's |\n| --- | --- | --: | --: | --- | --: | --: | --: |\n");
        foreach (TimeResult time in times)
        {
            page.Append(CultureInfo.InvariantCulture, $"| {time.Objective} | {time.Type} | {time.Vocabulary:N0} | {time.Rows:N0} | {(time.HasGradient ? "forward + gradient" : "forward")}");
            page.Append(CultureInfo.InvariantCulture, $" | {time.Milliseconds:G3} | {time.GigabytesPerSecond:F0} | {100 * time.GigabytesPerSecond / CopyBandwidth:F0} % |\n");
        }
    }

    private void WriteTimes(Utf8JsonWriter json, string name, IReadOnlyList<TimeResult> times)
    {
        json.WriteStartArray(name);
        foreach (TimeResult time in times)
        {
            json.WriteStartObject();
            json.WriteString("objective", time.Objective);
            json.WriteString("type", time.Type.ToString());
            json.WriteNumber("vocabulary", time.Vocabulary);
            json.WriteNumber("rows", time.Rows);
            json.WriteBoolean("gradient", time.HasGradient);
            json.WriteNumber("milliseconds", time.Milliseconds);
            json.WriteNumber("gigabytesPerSecond", time.GigabytesPerSecond);
            json.WriteNumber("shareOfCopy", time.GigabytesPerSecond / CopyBandwidth);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }
}
