using System.Diagnostics;
using Asft.Bench.Measuring;
using Asft.Interop;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Small;

/// <summary>Logits of a size, a leaf, and the losses on them. A run repeats a loss until it takes long enough to be timed.</summary>
internal sealed class SmallProblem : IDisposable
{
    public const string CrossEntropy = "F.cross_entropy, forward+backward";
    public const string Sft = "asft_loss(Sft), forward+backward";
    public const string CrossEntropyForward = "F.cross_entropy, no_grad";
    public const string SftForward = "asft_loss(Sft), no_grad";
    public const string ComposedAsft = "composed ASFT, forward+backward";
    public const string Asft = "asft_loss(Asft), forward+backward";
    public const string SftMetrics = "asft_loss_with_metrics(Sft), forward+backward";
    public const string AsftMetrics = "asft_loss_with_metrics(Asft), forward+backward";

    private static readonly TimeSpan s_run = TimeSpan.FromMilliseconds(2);

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor _logits;
    private readonly Tensor _reference;
    private readonly Tensor _labels;

    public SmallProblem(long rows, long vocabulary, int threads)
    {
        set_num_threads(threads);
        manual_seed(1);
        Size = $"[{rows}, {vocabulary}]";
        _logits = randn(rows, vocabulary).requires_grad_();
        _reference = randn(rows, vocabulary);
        _labels = randint(0, vocabulary, [rows], ScalarType.Int64);
        Losses =
        [
            Case(CrossEntropy, () => Step(() => functional.cross_entropy(_logits, _labels))),
            Case(Sft, () => Step(() => AsftFunctional.asft_loss(_logits, _labels, objective: LossObjective.Sft))),
            Case(CrossEntropyForward, () => Evaluate(() => functional.cross_entropy(_logits, _labels))),
            Case(SftForward, () => Evaluate(() => AsftFunctional.asft_loss(_logits, _labels, objective: LossObjective.Sft))),
            Case(ComposedAsft, () => Step(() => Peers.Composed.Asft(_logits, _labels, _reference))),
            Case(Asft, () => Step(() => AsftFunctional.asft_loss(_logits, _labels, _reference))),
        ];
        Metrics =
        [
            Case(Sft, () => Step(() => AsftFunctional.asft_loss(_logits, _labels, objective: LossObjective.Sft))),
            Case(SftMetrics, () => Step(() => AsftFunctional.asft_loss_with_metrics(_logits, _labels, objective: LossObjective.Sft).Loss)),
            Case(Asft, () => Step(() => AsftFunctional.asft_loss(_logits, _labels, _reference))),
            Case(AsftMetrics, () => Step(() => AsftFunctional.asft_loss_with_metrics(_logits, _labels, _reference).Loss)),
        ];
    }

    public string Size { get; }

    /// <summary>Losses with and without a gradient.</summary>
    public IReadOnlyList<TimedCase> Losses { get; }

    /// <summary>Losses with metrics and without.</summary>
    public IReadOnlyList<TimedCase> Metrics { get; }

    public void Dispose() => _scope.Dispose();

    private static TimedCase Case(string name, Action run) => new(name, run, Times: Times(run));

    /// <summary>How often something has to be repeated.</summary>
    private static int Times(Action run)
    {
        const int Enough = 200;
        SteadyState.Reach(run);
        var watch = Stopwatch.StartNew();
        int times = 0;
        while (watch.Elapsed < s_run && times < Enough)
        {
            run();
            times++;
        }

        return times;
    }

    private void Step(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        loss().backward();
        _logits.grad = null;
    }

    private static void Evaluate(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        loss();
    }
}
