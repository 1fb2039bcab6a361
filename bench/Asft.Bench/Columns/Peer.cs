using Asft.Bench.Benchmarks;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace Asft.Bench.Columns;

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
