using Asft.Bench.Linear;
using Asft.Bench.Measuring;
using Asft.Bench.Problems;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Checks;

/// <summary>
/// What the losses on the processor must hold on any machine, however busy: ratios of interleaved medians with bounds far below what a
/// quiet machine gives, and counts.
/// </summary>
internal sealed class LossChecks : IDisposable
{
    private const int Rounds = 5;
    private const int Attempts = 4;
    private const int Steps = 50;

    /// <summary>One thread: a machine that is busy with other things then slows both sides down alike.</summary>
    private readonly LossProblem _problem = new(new LossShape(
        BenchObjective.AsftForward, ScalarType.Float32, Vocabulary: 32000, Tokens: 512, Ignored: 0, Threads: 1, "cpu"));

    /// <summary>The checks. They share a problem and must be judged one after another.</summary>
    public IReadOnlyList<Check> All =>
    [
        new("in place, forward+backward, against composed", 20, true, "x as fast", Attempts, () => Ratio(_problem.FusedInPlace)),
        new("default, forward+backward, against composed", 8, true, "x as fast", Attempts, () => Ratio(_problem.Fused)),
        new("managed allocations of a step, in place", 32, false, "KB", 2, () => Allocations(_problem.FusedInPlace)),
        new("managed allocations of a step, default", 32, false, "KB", 2, () => Allocations(_problem.Fused)),
        new("tensors left after 50 steps, in place", 0, false, "tensors", 1, () => Tensors(_problem.FusedInPlace)),
        new("tensors left after 50 steps, default", 0, false, "tensors", 1, () => Tensors(_problem.Fused)),
        new("peak memory, in place", 8, false, "MB", 2, () => Peak(_problem.FusedInPlace) / 1e6),
        new("peak memory, default", 1.1, false, "x [N, V]", 2, () => Peak(_problem.Fused) / _problem.TensorBytes),
        new("peak memory, linear_asft_loss, N 1024, beyond gradients", 96, false, "MB", 2, LinearPeak),
    ];

    public void Dispose() => _problem.Dispose();

    private double Ratio(Action fused)
    {
        set_num_threads(1);
        IReadOnlyDictionary<string, double> seconds = Interleaved.Medians(
            [new("composed", _problem.Composed, _problem.Restore), new("fused", fused, _problem.Restore)], Rounds);
        return seconds["composed"] / seconds["fused"];
    }

    private double Allocations(Action step)
    {
        _problem.Restore();
        step();
        long before = GC.GetTotalAllocatedBytes(precise: true);
        Repeat(step);
        return (GC.GetTotalAllocatedBytes(precise: true) - before) / (1e3 * Steps);
    }

    private double Tensors(Action step)
    {
        _problem.Restore();
        step();
        long before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        Repeat(step);
        return DisposeScopeManager.Statistics.ThreadTotalLiveCount - before;
    }

    private double Peak(Action step)
    {
        _problem.Restore();
        step();
        return _problem.PeakMemory(step);
    }

    /// <summary>Without what puts the logits back: the gradient of one step may as well be the logits of the next.</summary>
    private static void Repeat(Action step)
    {
        for (int i = 0; i < Steps; i++)
        {
            step();
        }
    }

    private static double LinearPeak()
    {
        using var workload = new LinearWorkload(1024, 512, 32000, Environment.ProcessorCount, composed: false);
        return workload.PeakMemory(LinearWorkload.Fused) / 1e6;
    }
}
