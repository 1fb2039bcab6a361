using BenchmarkDotNet.EventProcessors;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace Asft.Bench.Running;

/// <summary>Passes on what BenchmarkDotNet is at.</summary>
/// <param name="ended">Called after each benchmark.</param>
internal sealed class Progress(Action<BenchmarkReport> ended) : EventProcessor
{
    public override void OnEndRunBenchmark(BenchmarkCase benchmarkCase, BenchmarkReport report) => ended(report);
}
