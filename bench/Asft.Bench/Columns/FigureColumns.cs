using System.Globalization;
using Asft.Bench.Benchmarks;
using Asft.Bench.Problems;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace Asft.Bench.Columns;

/// <summary>The project's own columns.</summary>
internal static class FigureColumns
{
    public static FigureColumn[] All { get; } =
    [
        new FigureColumn("vs Composed", "How many times as fast as the composed loss on the same problem (medians)", VersusComposed),
        new FigureColumn("vs Triad", "Time over that of c = a + b on tensors as large (medians)", VersusTriad),
        new FigureColumn(
            "GB/s",
            "Useful traffic: counted rows of logits (and reference) read once, the gradient written once, over the median time",
            UsefulTraffic),
        new FigureColumn("Peak memory", "Most memory resident during a run beyond what was before, native and managed, in MB", PeakMemory),
    ];

    private static string? VersusComposed(Summary summary, BenchmarkCase benchmark) =>
        Peer.Median(summary, benchmark, Peer.Composed(benchmark)) / Peer.Median(summary, benchmark) is { } ratio
            ? Text(ratio, " x")
            : null;

    private static string? VersusTriad(Summary summary, BenchmarkCase benchmark) =>
        Peer.Median(summary, benchmark) / Peer.Median(summary, benchmark, nameof(LossBenchmarks.Triad)) is { } ratio
            ? Text(ratio, " x")
            : null;

    private static string? UsefulTraffic(Summary summary, BenchmarkCase benchmark) =>
        LossAxes.Shape(benchmark) is { } shape && UsefulBytes(shape, benchmark) / Peer.Median(summary, benchmark) is { } bytesPerNanosecond
            ? Text(bytesPerNanosecond, string.Empty)
            : null;

    private static string? PeakMemory(Summary summary, BenchmarkCase benchmark) =>
        summary[benchmark]?.Metrics.GetValueOrDefault(PeakMemoryDiagnoser.MetricId)?.Value is { } bytes
            ? Text(bytes / 1e6, string.Empty)
            : null;

    /// <summary>Bytes that a benchmark cannot do without.</summary>
    public static double UsefulBytes(LossShape shape, BenchmarkCase benchmark) =>
        benchmark.Descriptor.WorkloadMethod.Name == nameof(LossBenchmarks.Triad)
            ? 3.0 * shape.TensorBytes
            : shape.UsefulBytes(benchmark.Descriptor.HasCategory(LossBenchmarks.Backward));

    private static string Text(double value, string unit) =>
        value.ToString(value < 10 ? "0.00" : value < 1000 ? "0.0" : "0", CultureInfo.InvariantCulture) + unit;
}
