using System.Runtime.Intrinsics;
using Asft.Kernels.Cpu.Simd;
using Asft.Kernels.Divergence;

namespace Asft.Kernels.Cpu;

/// <summary>
/// The loss on the CPU: SIMD of the widest registers that the processor uses at full speed, and several threads over the rows.
/// Works on host memory.
/// </summary>
public sealed class CpuTokenLossKernel : HostTokenLossKernel
{
    /// <summary>Logits that a thread takes at a time, if there are enough for every thread to come back often.</summary>
    private const int BatchLogits = 1 << 19;

    /// <summary>Logits that are worth another thread: some microseconds of work.</summary>
    private const int ThreadLogits = 1 << 13;

    /// <summary>What is done once for a row takes as long as so many logits.</summary>
    private const int RowLogits = 32;

    private const int BatchesPerThread = 8;

    private readonly ThreadTeam _team;
    private readonly int _bits;
    private readonly Func<nuint, RowScratch>? _rent;

    /// <summary>Creates a kernel.</summary>
    /// <param name="threads">
    /// Asked at each call for the largest number of threads to use, at least 1; null for one per processor.
    /// Results do not depend on it.
    /// </param>
    public CpuTokenLossKernel(Func<int>? threads = null)
        : this(new PoolTeam(threads ?? (() => Environment.ProcessorCount)))
    {
    }

    /// <summary>Creates a kernel that works with some other threads than .NET's.</summary>
    internal CpuTokenLossKernel(ThreadTeam team)
        : this(team, Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128)
    {
    }

    /// <summary>Creates a kernel with registers of a given width, and other scratch memory than the process's own, for tests.</summary>
    internal CpuTokenLossKernel(ThreadTeam team, int bits, Func<nuint, RowScratch>? rent = null)
    {
        _team = team;
        _bits = bits;
        _rent = rent;
    }

    /// <inheritdoc/>
    public override string Name => Invariant($"CPU ({_bits}-bit SIMD)");

    /// <inheritdoc/>
    private protected override int Threads => _team.Threads;

    /// <inheritdoc/>
    public override void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient) =>
        Run(RowPlan.Forward(problem, outputs, gradient));

    /// <inheritdoc/>
    public override unsafe void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default) =>
        Run(RowPlan.Summarize(problem, states, gradient.Kept is null ? default : gradient));

    /// <inheritdoc/>
    public override unsafe void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        var plan = RowPlan.Backward(problem, saved, gradient, resumes: gradient.Kept is not null);
        plan.CheckSaved(saved.State, nameof(saved.State));
        Run(plan);
    }

    private void Run(in RowPlan plan)
    {
        TokenProblem problem = plan.Problem;
        TokenLabels.Check(plan);
        if (problem.Rows == 0)
        {
            return;
        }

        // In floating point, as no product of two dimensions may overflow.
        double logits = problem.Rows * ((double)problem.Vocabulary + RowLogits);
        int threads = (int)Math.Clamp(logits / ThreadLogits, 1, Threads);
        long share = threads == 1 ? problem.Rows : problem.Rows / (threads * BatchesPerThread);
        long batch = Math.Clamp(share, 1, Math.Max(1, BatchLogits / problem.Vocabulary));
        ParallelRowLoop.Run(Body(plan), problem.Rows, batch, _team, threads, _rent, fromTheStart: plan.IsBackward);
    }

    private IRowLoopBody Body(in RowPlan plan) => (plan.Arithmetic == ElementType.Float64, _bits) switch
    {
        (false, 512) => Body<Simd512<float>, float>(plan),
        (false, 256) => Body<Simd256<float>, float>(plan),
        (false, _) => Body<Simd128<float>, float>(plan),
        (true, 512) => Body<Simd512<double>, double>(plan),
        (true, 256) => Body<Simd256<double>, double>(plan),
        (true, _) => Body<Simd128<double>, double>(plan),
    };

    private static IRowLoopBody Body<TV, T>(in RowPlan plan)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged => plan.Problem.Logits.Type == ElementType.BFloat16
            ? Body<TV, T, BFloat16<TV, T>>(plan)
            : Body<TV, T, Native<TV, T>>(plan);

    private static IRowLoopBody Body<TV, T, TElement>(in RowPlan plan)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV> => plan.Reads switch
        {
            ReferenceUse.None => Body<TV, T, TElement, NoReference>(plan),
            ReferenceUse.Sum => Body<TV, T, TElement, ReferenceSum>(plan),
            ReferenceUse.ForwardKl => Body<TV, T, TElement, ForwardKl>(plan),
            _ => Body<TV, T, TElement, ReverseKl>(plan),
        };

    private static IRowLoopBody Body<TV, T, TElement, TDivergence>(in RowPlan plan)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV>
        where TDivergence : struct, IDivergence => plan.HasGradient
            ? Body<TV, T, TElement, TDivergence, On>(plan)
            : Body<TV, T, TElement, TDivergence, Off>(plan);

    private static IRowLoopBody Body<TV, T, TElement, TDivergence, TGradient>(in RowPlan plan)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV>
        where TDivergence : struct, IDivergence
        where TGradient : struct, ISwitch => !plan.HasEntropy || plan.IsBackward ? Body<TV, T, TElement, TDivergence, TGradient, NoEntropy>(plan)
            : plan.HasSquares ? Body<TV, T, TElement, TDivergence, TGradient, EntropyAndSquares>(plan)
            : Body<TV, T, TElement, TDivergence, TGradient, EntropyAlone>(plan);

    private static IRowLoopBody Body<TV, T, TElement, TDivergence, TGradient, TEntropy>(in RowPlan plan)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TElement : struct, IElement<TV>
        where TDivergence : struct, IDivergence
        where TGradient : struct, ISwitch
        where TEntropy : struct, IEntropy => (plan.HasSmoothing, plan.HasSoftcap) switch
        {
            (false, false) => new OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, Off, Off, TEntropy>(plan),
            (false, true) => new OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, Off, On, TEntropy>(plan),
            (true, false) => new OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, On, Off, TEntropy>(plan),
            (true, true) => new OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, On, On, TEntropy>(plan),
        };
}
