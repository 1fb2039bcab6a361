using System.Globalization;
using Asft.Bench.Benchmarks;
using Asft.Bench.Problems;
using BenchmarkDotNet.Columns;
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
        LossBenchmarks.ShapeOf(benchmark) is { } shape && UsefulBytes(shape, benchmark) / Peer.Median(summary, benchmark) is { } bytesPerNanosecond
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

/// <summary>A column of one figure per benchmark; a dash where there is none.</summary>
/// <param name="name">The heading.</param>
/// <param name="legend">What it says, below the table.</param>
/// <param name="value">The figure, or null.</param>
internal sealed class FigureColumn(string name, string legend, Func<Summary, BenchmarkCase, string?> value) : IColumn
{
    public string Id => name;

    public string ColumnName => name;

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 0;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public string Legend => legend;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) => value(summary, benchmarkCase) ?? "-";

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public bool IsAvailable(Summary summary) => true;
}

/// <summary>Finds the benchmark of the same problem that another is compared with.</summary>
internal static class Peer
{
    /// <summary>Median time in nanoseconds of a benchmark on the same problem; null when it was not run.</summary>
    public static double? Median(Summary summary, BenchmarkCase benchmark, string method) => summary.Reports
        .FirstOrDefault(report =>
            report.BenchmarkCase.Descriptor.Type == benchmark.Descriptor.Type
            && report.BenchmarkCase.Descriptor.WorkloadMethod.Name == method
            && report.BenchmarkCase.Parameters.ValueInfo == benchmark.Parameters.ValueInfo)
        ?.ResultStatistics?.Median;

    /// <summary>Median time in nanoseconds of the benchmark itself.</summary>
    public static double? Median(Summary summary, BenchmarkCase benchmark) => summary[benchmark]?.ResultStatistics?.Median;

    /// <summary>The composed loss that does the same: forward alone, or with the gradient.</summary>
    public static string Composed(BenchmarkCase benchmark) => benchmark.Descriptor.HasCategory(LossBenchmarks.Forward)
        ? nameof(LossBenchmarks.ComposedForward)
        : nameof(LossBenchmarks.Composed);
}
