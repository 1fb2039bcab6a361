using Asft.Interop;
using Asft.Kernels;
using BenchmarkDotNet.Attributes;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Benchmarks;

/// <summary>Forward and backward of each loss over 16 million logits, against what one writes in plain TorchSharp.</summary>
public class LossBenchmarks
{
    private const long Logits = 1 << 24;

    private DisposeScope _scope = null!;
    private Tensor _start = null!;
    private Tensor _logits = null!;
    private Tensor _reference = null!;
    private Tensor _labels = null!;

    /// <summary>Vocabulary sizes of Llama 2, Llama 3 and Qwen 2.5.</summary>
    [Params(32000, 128256, 151936)]
    public long Vocabulary { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _scope = NewDisposeScope();
        manual_seed(1);
        long rows = Logits / Vocabulary;
        _start = randn(rows, Vocabulary).mul_(3);
        _reference = randn(rows, Vocabulary).mul_(0.3).add_(_start);
        _labels = randint(0, Vocabulary, [rows], ScalarType.Int64);
        _logits = _start.clone();
        _logits.requires_grad = true;
    }

    [GlobalCleanup]
    public void Cleanup() => _scope.Dispose();

    [Benchmark(Baseline = true)]
    public void Composed() => Step(() => Peers.Composed.Asft(_logits, _labels, _reference));

    [Benchmark]
    public void CrossEntropy() => Step(() => functional.cross_entropy(_logits, _labels));

    [Benchmark]
    public void Sft() => Step(() => AsftFunctional.asft_loss(_logits, _labels, objective: LossObjective.Sft));

    [Benchmark]
    public void Asft() => Step(() => AsftFunctional.asft_loss(_logits, _labels, _reference));

    /// <summary>The gradient of one run is the logits of the next, which takes as long as any others.</summary>
    [Benchmark]
    public void AsftInPlace() => Step(() => AsftFunctional.asft_loss(_logits, _labels, _reference, inPlace: true));

    private void Step(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        _logits.grad = null;
        loss().backward();
    }
}
