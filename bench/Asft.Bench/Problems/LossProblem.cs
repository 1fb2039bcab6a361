using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Asft.Bench.Measuring;
using Asft.Interop;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Problems;

/// <summary>Logits, reference and labels of a <see cref="LossShape"/>, and everything that is measured on them.</summary>
public sealed unsafe class LossProblem : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly LossShape _shape;
    private readonly LossObjective _objective;
    private readonly Tensor _start;
    private readonly Tensor _logits;
    private readonly Tensor _labels;
    private readonly Tensor? _reference;
    private Tensor? _sum;
    private Tensor? _addend;

    public LossProblem(LossShape shape)
    {
        _shape = shape;
        _objective = shape.Objective.Objective();
        set_num_threads(shape.Threads);
        manual_seed(1);
        (long rows, long vocabulary) = (shape.Tokens, shape.Vocabulary);
        using (DisposeScope making = NewDisposeScope())
        {
            Tensor start = randn(rows, vocabulary).mul_(3);
            _start = start.to(shape.Type).to(shape.Device).MoveToOuterDisposeScope();
            _reference = _objective.NeedsReference
                ? start.add(randn(rows, vocabulary).mul_(0.3)).to(shape.Type).to(shape.Device).MoveToOuterDisposeScope()
                : null;
            _labels = randint(0, vocabulary, [rows], ScalarType.Int64)
                .masked_fill_(randperm(rows) < (long)Math.Round(rows * shape.Ignored), -100)
                .to(shape.Device)
                .MoveToOuterDisposeScope();
        }

        _logits = Computed(_start);
    }

    /// <summary>Bytes of one of its tensors.</summary>
    public long TensorBytes => _shape.TensorBytes;

    /// <summary>Untimed, before each run: in place, the gradient took the memory of the logits.</summary>
    public void Restore()
    {
        using (no_grad())
        {
            _logits.copy_(_start);
        }

        Synchronize();
    }

    /// <summary>Peak resident memory of a run beyond what was there before it, in bytes.</summary>
    public long PeakMemory(Action run)
    {
        Restore();
        return ResidentMemory.PeakDuring(run);
    }

    /// <summary>Three streams through memory, as many bytes each as the logits have.</summary>
    public void Triad()
    {
        long count = TensorBytes / sizeof(float);
        _sum ??= zeros(count, device: _shape.Device);
        if (IsCuda)
        {
            _addend ??= zeros(count, device: _shape.Device);
            _sum.add_(_addend);
            Synchronize();
            return;
        }

        Tensor second = _reference ?? _logits;
        Peers.Triad.Run((float*)Address(_start), (float*)Address(second), (float*)Address(_sum), count, _shape.Threads);
    }

    public void Composed() => Step(() => Peers.Composed.Loss(_objective, _logits, _labels, _reference));

    public void Tuned() => Evaluate(() => Peers.Tuned.Loss(_objective, _logits, _labels, _reference, gradient: true));

    public void CrossEntropy() => Step(() => functional.cross_entropy(_logits, _labels));

    public void Fused() => Step(() => AsftFunctional.asft_loss(_logits, _labels, _reference, _objective));

    public void FusedInPlace()
    {
        using (no_grad())
        {
            // Run after run without a restoration, the last gradient is meant to be the logits: torch is told that they were written.
            using DisposeScope scope = NewDisposeScope();
            _logits.narrow(0, 0, 0).zero_();
        }

        Step(() => AsftFunctional.asft_loss(_logits, _labels, _reference, _objective, inPlace: true));
    }

    public void ComposedForward() => Evaluate(() => Peers.Composed.Loss(_objective, _logits, _labels, _reference));

    public void TunedForward() => Evaluate(() => Peers.Tuned.Loss(_objective, _logits, _labels, _reference, gradient: false));

    public void CrossEntropyForward() => Evaluate(() => functional.cross_entropy(_logits, _labels));

    public void FusedForward() => Evaluate(() => AsftFunctional.asft_loss(_logits, _labels, _reference, _objective));

    public void Dispose() => _scope.Dispose();

    /// <summary>
    /// Logits as a model's are: the result of an operation, which a loss may overwrite, and not a leaf, which it may not. The operation takes
    /// nothing of the gradient, as a leaf that kept it would be timed along with the loss: it copies a gradient that lies in the logits' memory.
    /// </summary>
    internal static Tensor Computed(Tensor values)
    {
        using Tensor leaf = empty([0, values.size(-1)], values.dtype, values.device).requires_grad_();
        return cat([values, leaf], 0);
    }

    /// <summary>Address of the first byte of a tensor in host memory, whatever its element type and size.</summary>
    internal static nint Address(Tensor tensor)
    {
        // TorchSharp hands out addresses only of contiguous tensors of less than 2 GiB: one element always is one.
        using Tensor first = tensor.detach().as_strided([1], [1]);
        return (nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.bytes));
    }

    private bool IsCuda => _shape.Device == "cuda";

    private void Step(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        loss().backward();
        Synchronize();
    }

    private void Evaluate(Func<Tensor> loss)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        loss();
        Synchronize();
    }

    private void Synchronize()
    {
        if (IsCuda)
        {
            cuda.synchronize();
        }
    }
}
