using System.Globalization;
using System.Text.RegularExpressions;

namespace Asft.Bench.Gpu;

/// <summary>Reads the report that the kernels' build writes: registers of a thread and occupancy, for each kernel and architecture.</summary>
internal static partial class KernelOccupancy
{
    /// <summary>Where the report is, from the repository's root.</summary>
    public const string Report = "kernels/report.md";

    private static readonly string[] s_modules = ["float32", "bfloat16", "float16"];

    /// <summary>The least theoretical occupancy of any kernel for storage of up to 32 bits, on any architecture, in percent.</summary>
    /// <param name="report">The report's lines: <c>| module | kernel | threads | shared | registers, occupancy % | ...</c></param>
    /// <returns>The percentage; null when the report names none.</returns>
    public static int? Least(IEnumerable<string> report) => report
        .Where(line => s_modules.Any(module => line.StartsWith($"| {module} |", StringComparison.Ordinal)))
        .SelectMany(line => Percentages().Matches(line))
        .Min(match => (int?)int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture));

    [GeneratedRegex(@"\d+, (\d+) %")]
    private static partial Regex Percentages();
}
