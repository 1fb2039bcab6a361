using System.Runtime.Intrinsics;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// The loss on the CPU: SIMD of the widest registers that the processor uses at full speed, and several threads over the rows.
/// Works on host memory.
/// </summary>
public sealed class CpuTokenLossKernel : HostTokenLossKernel
{
    /// <summary>Logits that a thread takes at a time, if there are enough for every thread to come back often.</summary>
    private const int BatchLogits = 1 << 19;

    /// <summary>Logits that are worth another thread: some ten microseconds of work.</summary>
    private const int ThreadLogits = 1 << 15;

    private const int BatchesPerThread = 8;

    private readonly Func<int> _threads;
    private readonly int _bits;
    private readonly Func<nuint, RowScratch>? _rent;

    /// <summary>Creates a kernel.</summary>
    /// <param name="threads">
    /// Asked at each call for the largest number of threads to use, at least 1; null for one per processor.
    /// Results do not depend on it.
    /// </param>
    public CpuTokenLossKernel(Func<int>? threads = null)
        : this(threads, Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128)
    {
    }

    /// <summary>Creates a kernel with registers of a given width, and other scratch memory than the process's own, for tests.</summary>
    internal CpuTokenLossKernel(Func<int>? threads, int bits, Func<nuint, RowScratch>? rent = null)
    {
        _threads = threads ?? (() => Environment.ProcessorCount);
        _bits = bits;
        _rent = rent;
    }

    /// <inheritdoc/>
    public override string Name => Invariant($"CPU ({_bits}-bit SIMD)");

    /// <inheritdoc/>
    private protected override int Threads => Math.Max(1, _threads());

    /// <inheritdoc/>
    public override void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        KernelArguments.CheckForward(problem, gradient);
        TokenLabels.Check(problem);
        Run(problem, outputs, gradient, backward: false);
    }

    /// <inheritdoc/>
    public override void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        KernelArguments.CheckHostBackward(problem, saved, gradient);
        TokenLabels.Check(problem);
        Run(problem, saved, gradient, backward: true);
    }

    private unsafe void Run(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
    {
        if (problem.Rows == 0)
        {
            return;
        }

        // In floating point, as no product of two dimensions may overflow.
        double logits = (double)problem.Rows * problem.Vocabulary;
        int threads = (int)Math.Clamp(logits / ThreadLogits, 1, Threads);
        long batch = Math.Clamp(problem.Rows / (threads * BatchesPerThread), 1, Math.Max(1, BatchLogits / problem.Vocabulary));
        RowJob.Run(Body(problem, outputs, gradient, backward), problem.Rows, batch, threads, _rent);
    }

    private IRowBody Body(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward) =>
        (problem.Logits.Type == ElementType.Float64, _bits) switch
        {
            (false, 512) => Body<Simd512<float>, float>(problem, outputs, gradient, backward),
            (false, 256) => Body<Simd256<float>, float>(problem, outputs, gradient, backward),
            (false, _) => Body<Simd128<float>, float>(problem, outputs, gradient, backward),
            (true, 512) => Body<Simd512<double>, double>(problem, outputs, gradient, backward),
            (true, 256) => Body<Simd256<double>, double>(problem, outputs, gradient, backward),
            (true, _) => Body<Simd128<double>, double>(problem, outputs, gradient, backward),
        };

    private static IRowBody Body<TV, T>(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged => problem.Logits.Type == ElementType.BFloat16
            ? Body<TV, T, BrainFloat<TV, T>>(problem, outputs, gradient, backward)
            : Body<TV, T, Native<TV, T>>(problem, outputs, gradient, backward);

    private static unsafe IRowBody Body<TV, T, TElement>(
        in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV>
    {
        LossObjective objective = problem.Objective;
        bool kl = objective.KlWeight > 0 || (outputs.Kl != null && !backward && !problem.Reference.IsNull);
        return kl
            ? objective.KlDirection == KlDirection.Forward
                ? Body<TV, T, TElement, ForwardKl>(problem, outputs, gradient, backward)
                : Body<TV, T, TElement, ReverseKl>(problem, outputs, gradient, backward)
            : objective.Weighting == TokenWeighting.ImportanceRatio && !backward
                ? Body<TV, T, TElement, ReferenceProbability>(problem, outputs, gradient, backward)
                : Body<TV, T, TElement, NoReference>(problem, outputs, gradient, backward);
    }

    private static IRowBody Body<TV, T, TElement, TReference>(
        in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV>
        where TReference : struct, IReferenceUse => gradient.Logits.IsNull
            ? Body<TV, T, TElement, TReference, Off>(problem, outputs, gradient, backward)
            : Body<TV, T, TElement, TReference, On>(problem, outputs, gradient, backward);

    private static IRowBody Body<TV, T, TElement, TReference, TGradient>(
        in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV>
        where TReference : struct, IReferenceUse
        where TGradient : struct, ISwitch => (problem.Objective.LabelSmoothing > 0, problem.Objective.LogitSoftcap > 0) switch
        {
            (false, false) => new RowBody<TV, T, TElement, TReference, TGradient, Off, Off>(problem, outputs, gradient, backward),
            (false, true) => new RowBody<TV, T, TElement, TReference, TGradient, Off, On>(problem, outputs, gradient, backward),
            (true, false) => new RowBody<TV, T, TElement, TReference, TGradient, On, Off>(problem, outputs, gradient, backward),
            (true, true) => new RowBody<TV, T, TElement, TReference, TGradient, On, On>(problem, outputs, gradient, backward),
        };
}
