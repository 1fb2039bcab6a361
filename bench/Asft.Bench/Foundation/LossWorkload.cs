using Asft.Bench.Measuring;
using Asft.Bench.Problems;
using Asft.Interop;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Foundation;

/// <summary>Losses on the same logits, each forward and backward unless named otherwise. Every buffer has been touched before.</summary>
public sealed unsafe class LossWorkload : IDisposable
{
    public const string Composed = "composed";
    public const string Tuned = "tuned torch operations";
    public const string CrossEntropy = "cross_entropy";
    public const string Default = "default";
    public const string InPlace = "in place";
    public const string InPlaceBFloat16 = "in place, bfloat16";
    public const string InPlaceIgnoring = "in place, 75 % ignored";
    public const string Forward = "forward";
    public const string Triad = "triad";

    private readonly DisposeScope _scope = NewDisposeScope();

    public LossWorkload(long rows, long vocabulary, int threads)
    {
        set_num_threads(threads);
        manual_seed(1);
        Size = $"[{rows}, {vocabulary}]";
        TensorBytes = rows * vocabulary * sizeof(float);

        Tensor start = randn(rows, vocabulary).mul_(3);
        Tensor reference = (randn(rows, vocabulary).mul_(0.3)).add_(start);
        Tensor labels = randint(0, vocabulary, [rows], ScalarType.Int64);
        Tensor mostlyIgnored = labels.clone().masked_fill_(randperm(rows) < 3 * rows / 4, -100);
        Tensor startHalf = start.bfloat16();
        Tensor referenceHalf = reference.bfloat16();
        Tensor sum = zeros_like(start);

        Tensor logits = ComputedLogits.Of(start);
        Tensor logitsHalf = ComputedLogits.Of(startHalf);
        nint a = start.Address(), b = reference.Address(), c = sum.Address();

        // In place, the gradient takes the logits' memory, so they are put back before each run, untimed.
        void Restore(Tensor written, Tensor values)
        {
            using (no_grad())
            {
                written.copy_(values);
            }
        }

        Cases =
        [
            new(Triad, () => Peers.Triad.Run((float*)a, (float*)b, (float*)c, rows * vocabulary, threads)),
            new(Composed, () => Step(() => Peers.Composed.Asft(logits, labels, reference)), () => Restore(logits, start)),
            new(Tuned, () => Evaluate(() => Peers.Tuned.Loss(LossObjective.Asft(), logits, labels, reference, gradient: true)), () => Restore(logits, start)),
            new(CrossEntropy, () => Step(() => functional.cross_entropy(logits, labels)), () => Restore(logits, start)),
            new(Default, () => Step(() => AsftFunctional.asft_loss(logits, labels, reference)), () => Restore(logits, start)),
            new(InPlace, () => Step(() => AsftFunctional.asft_loss(logits, labels, reference, inPlace: true)), () => Restore(logits, start)),
            new(
                InPlaceIgnoring,
                () => Step(() => AsftFunctional.asft_loss(logits, mostlyIgnored, reference, inPlace: true)),
                () => Restore(logits, start)),
            new(
                InPlaceBFloat16,
                () => Step(() => AsftFunctional.asft_loss(logitsHalf, labels, referenceHalf, inPlace: true)),
                () => Restore(logitsHalf, startHalf)),
            new(Forward, () => Evaluate(() => AsftFunctional.asft_loss(logits, labels, reference)), () => Restore(logits, start)),
        ];
    }

    public string Size { get; }

    /// <summary>Bytes of one [N, V] float32 tensor.</summary>
    public long TensorBytes { get; }

    public IReadOnlyList<TimedCase> Cases { get; }

    /// <summary>Peak resident memory of one run beyond what was there before it, in bytes.</summary>
    public long PeakMemory(string name)
    {
        TimedCase measured = Cases.Single(c => c.Name == name);
        measured.Prepare?.Invoke();
        return ResidentMemory.PeakDuring(measured.Run);
    }

    public void Dispose() => _scope.Dispose();

    private static void Step(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        loss().backward();
    }

    private static void Evaluate(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        loss();
    }
}
