using Asft.Bench.Measuring;
using Asft.Bench.Problems;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Running;
using static TorchSharp.torch;

namespace Asft.Bench.Benchmarks;

/// <summary>Every loss, against what one writes in TorchSharp, what one could write at best, plain cross-entropy and the memory itself.</summary>
public class LossBenchmarks
{
    /// <summary>Category of benchmarks that end with the gradient.</summary>
    public const string Backward = "forward+backward";

    /// <summary>Category of benchmarks under no_grad.</summary>
    public const string Forward = "forward";

    private static readonly Shared<LossShape, LossProblem> s_problems = new(shape => new LossProblem(shape));

    private LossProblem _problem = null!;

    [Params(BenchObjective.Sft, BenchObjective.Dft, BenchObjective.SftKl, BenchObjective.AsftForward, BenchObjective.AsftReverse)]
    public BenchObjective Objective { get; set; }

    [Params(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)]
    public ScalarType Type { get; set; }

    /// <summary>Round; Llama 2; Llama 3; Qwen 2.5; Gemma 3.</summary>
    [Params(4096, 32000, 128256, 151936, 262144)]
    public int Vocabulary { get; set; }

    [Params(256, 512, 1024, 2048, 4096)]
    public int Tokens { get; set; }

    [Params(0.0, 0.5, 0.9)]
    public double Ignored { get; set; }

    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    [ParamsSource(nameof(Devices))]
    public string Device { get; set; } = "cpu";

    public static IEnumerable<int> ThreadCounts { get; } = new[] { 1, 2, Environment.ProcessorCount }.Distinct().Order();

    public static IEnumerable<string> Devices => cuda.is_available() ? ["cpu", "cuda"] : ["cpu"];

    /// <summary>The problem of a benchmark; null for a benchmark of something else.</summary>
    public static LossShape? ShapeOf(BenchmarkCase benchmark)
    {
        T Of<T>(string parameter) => (T)benchmark.Parameters[parameter];
        return benchmark.Descriptor.Type != typeof(LossBenchmarks) ? null : new LossShape(
            Of<BenchObjective>(nameof(Objective)), Of<ScalarType>(nameof(Type)), Of<int>(nameof(Vocabulary)), Of<int>(nameof(Tokens)),
            Of<double>(nameof(Ignored)), Of<int>(nameof(Threads)), Of<string>(nameof(Device)));
    }

    [GlobalSetup(Targets = [nameof(Composed), nameof(Tuned), nameof(CrossEntropy), nameof(ComposedForward), nameof(TunedForward), nameof(CrossEntropyForward)])]
    public void Setup()
    {
        _problem = s_problems.Get(new LossShape(Objective, Type, Vocabulary, Tokens, Ignored, Threads, Device));
        set_num_threads(Threads);
    }

    [GlobalSetup(Target = nameof(Triad))]
    public void SetupTriad()
    {
        Setup();
        SteadyState.Reach(_problem.Triad);
    }

    [GlobalSetup(Targets = [nameof(Fused), nameof(FusedInPlace)])]
    public void SetupFused()
    {
        Setup();
        SteadyState.Reach(_problem.FusedInPlace);
    }

    [GlobalSetup(Target = nameof(FusedForward))]
    public void SetupFusedForward()
    {
        Setup();
        SteadyState.Reach(_problem.FusedForward);
    }

    [IterationSetup]
    public void Restore()
    {
        _problem.Restore();
        if (Device == "cpu")
        {
            Thread.Sleep(Interleaved.Settle);
        }
    }

    /// <summary>Frees what the last benchmark left.</summary>
    public static void Clear() => s_problems.Clear();

    [Benchmark, BenchmarkCategory(Backward)]
    public void Triad() => _problem.Triad();

    [Benchmark, BenchmarkCategory(Backward)]
    public void Composed() => _problem.Composed();

    [Benchmark, BenchmarkCategory(Backward)]
    public void Tuned() => _problem.Tuned();

    [Benchmark, BenchmarkCategory(Backward)]
    public void CrossEntropy() => _problem.CrossEntropy();

    [Benchmark, BenchmarkCategory(Backward)]
    public void Fused() => _problem.Fused();

    [Benchmark, BenchmarkCategory(Backward)]
    public void FusedInPlace() => _problem.FusedInPlace();

    [Benchmark, BenchmarkCategory(Forward)]
    public void ComposedForward() => _problem.ComposedForward();

    [Benchmark, BenchmarkCategory(Forward)]
    public void TunedForward() => _problem.TunedForward();

    [Benchmark, BenchmarkCategory(Forward)]
    public void CrossEntropyForward() => _problem.CrossEntropyForward();

    [Benchmark, BenchmarkCategory(Forward)]
    public void FusedForward() => _problem.FusedForward();
}
