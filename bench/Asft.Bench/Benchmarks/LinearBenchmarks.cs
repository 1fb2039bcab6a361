using Asft.Bench.Linear;
using Asft.Bench.Measuring;
using BenchmarkDotNet.Attributes;

namespace Asft.Bench.Benchmarks;

/// <summary>The loss from hidden states, against its matrix products alone and against products and loss in plain TorchSharp.</summary>
public class LinearBenchmarks
{
    private const int Width = 512;
    private const int Vocabulary = 32000;

    private static readonly Shared<int, LinearWorkload> s_workloads = new(tokens =>
        new LinearWorkload(tokens, Width, Vocabulary, Environment.ProcessorCount, composed: true));

    private LinearWorkload _workload = null!;

    [Params(512, 1024, 2048)]
    public int Tokens { get; set; }

    [GlobalSetup]
    public void Setup() => _workload = s_workloads.Get(Tokens);

    [IterationSetup]
    public void Prepare()
    {
        _workload.ClearGradients();
        Thread.Sleep(Interleaved.Settle);
    }

    [IterationCleanup]
    public void Release() => _workload.ClearGradients();

    /// <summary>Frees what the last benchmark left.</summary>
    public static void Clear() => s_workloads.Clear();

    [Benchmark]
    public void Products() => _workload.Run(LinearWorkload.Products);

    [Benchmark]
    public void Composed() => _workload.Run(LinearWorkload.Composed);

    [Benchmark]
    public void Fused() => _workload.Run(LinearWorkload.Fused);

    [Benchmark]
    public void FusedFrozenHead() => _workload.Run(LinearWorkload.FusedFrozen);

    [Benchmark]
    public void FusedIgnoring() => _workload.Run(LinearWorkload.FusedIgnoring);
}
