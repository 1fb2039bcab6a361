using Asft.Bench.Problems;
using Asft.Bench.Results;
using static TorchSharp.torch;

namespace Asft.Bench.Report;

/// <summary>The benchmarks of one problem, by name.</summary>
/// <param name="Shape">The problem.</param>
/// <param name="All">What was measured on it.</param>
internal sealed record ProblemResults(LossShape Shape, IReadOnlyDictionary<string, Measurement> All)
{
    /// <summary>The problems of a result set, smallest first.</summary>
    public static IReadOnlyList<ProblemResults> Of(ResultSet set) =>
    [
        .. set.Measurements.Where(m => m.Shape is not null).GroupBy(m => m.Shape!)
            .Select(group => new ProblemResults(group.Key, group.ToDictionary(m => m.Benchmark)))
            .OrderBy(p => p.Shape.Device).ThenBy(p => p.Shape.Objective).ThenBy(p => p.Shape.Type switch { ScalarType.Float32 => 0, ScalarType.BFloat16 => 1, _ => 2 }).ThenBy(p => p.Shape.Vocabulary)
            .ThenBy(p => p.Shape.Tokens).ThenBy(p => p.Shape.Ignored).ThenBy(p => p.Shape.Threads),
    ];

    /// <summary>Median seconds; null when it was not measured.</summary>
    public double? Seconds(string? benchmark) => benchmark is null ? null : All.GetValueOrDefault(benchmark)?.Seconds;

    /// <summary>Peak bytes; null when they were not measured.</summary>
    public double? Peak(string benchmark) => All.GetValueOrDefault(benchmark)?.PeakBytes;

    /// <summary>How many times as long <paramref name="slow"/> takes as <paramref name="fast"/>.</summary>
    public double? Ratio(string? slow, string? fast) => Seconds(slow) / Seconds(fast);

    /// <summary>Useful bytes per second; those of the triad are the three tensors that it moves.</summary>
    public double? BytesPerSecond(Implementation implementation, bool backward) => implementation == Implementation.Triad
        ? 3.0 * Shape.TensorBytes / Seconds(implementation.Benchmark)
        : Shape.UsefulBytes(backward) / Seconds(backward ? implementation.Benchmark : implementation.Forward);
}
