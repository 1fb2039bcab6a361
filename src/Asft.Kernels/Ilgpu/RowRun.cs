using System.Runtime.InteropServices;

namespace Asft.Kernels.Ilgpu;

/// <summary>One call of the kernel: what it works on, and what that takes of the device.</summary>
internal readonly unsafe struct RowRun
{
    private readonly bool _backward;

    public RowRun(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, bool backward)
    {
        _backward = backward;
        Problem = problem;
        Outputs = outputs;
        Gradient = gradient;
        Accumulator = problem.Logits.Type == ElementType.Float64 ? ElementType.Float64 : ElementType.Float32;
        bool kl = problem.Objective.KlWeight > 0 || (outputs.Kl != null && !problem.Reference.IsNull);
        Sums = RowMode.OfSums(problem, kl);
        Differential = RowMode.OfGradient(problem);
        Units = new RowUnits(problem);
    }

    public TokenProblem Problem { get; }

    /// <summary>Where outputs go or, backward, where they were saved.</summary>
    public TokenOutputs Outputs { get; }

    public TokenGradient Gradient { get; }

    /// <summary>The type of outputs and upstream gradients.</summary>
    public ElementType Accumulator { get; }

    /// <summary>Between the device's numbers and the host's.</summary>
    public RowUnits Units { get; }

    /// <summary>Mode of the sums; its use of the reference covers the gradient's.</summary>
    public RowMode Sums { get; }

    /// <summary>Mode of the gradient.</summary>
    public RowMode Differential { get; }

    public bool HasGradient => !Gradient.Logits.IsNull;

    /// <summary>How many rows' logits fit into so much memory; at least one.</summary>
    public int RowsWithin(long bytes)
    {
        long row = Problem.Vocabulary * Problem.Logits.Type.SizeInBytes();
        row += !ReadsReference ? 0 : Problem.Vocabulary * Problem.Reference.Type.SizeInBytes();
        return (int)Math.Clamp(bytes / row, 1, Math.Clamp(Problem.Rows, 1, int.MaxValue));
    }

    public bool Counts(long row) => Problem.Labels[row] != Problem.Objective.IgnoreIndex;

    /// <summary>Whether the device has to find the sums, or an earlier call saved what they gave.</summary>
    public bool NeedsSums => !_backward;

    /// <summary>The state that an earlier call saved.</summary>
    public RowState SavedState(long row) => Outputs.State[row];

    /// <summary>Whether reference logits have to be on the device.</summary>
    public bool ReadsReference => (_backward ? Differential : Sums).Use != ReferenceUse.None;

    /// <summary>What follows from a row's state.</summary>
    public TokenResult ResultOf(in RowState state) => new(Problem.Objective, state, Sums.Use, Problem.Vocabulary);

    /// <summary>The scale of a row's gradient, its upstream gradient included.</summary>
    public double ScaleOf(long row) => Gradient.Upstream == null
        ? Gradient.Scale
        : Gradient.Scale * ScalarElement.Read(Gradient.Upstream, Accumulator, row * Gradient.UpstreamStride);

    /// <summary>See <see cref="TokenResult.SlopeOf"/>.</summary>
    public double LabelSlope(long row) => TokenResult.SlopeOf(
        Problem.Objective, ScalarElement.Read(Problem.Logits.Row(row), Problem.Logits.Type, Problem.Labels[row]));

    /// <summary>A row that counts for nothing: no logit is read, its outputs are 0, and so is its gradient.</summary>
    public void Ignore(long row)
    {
        if (!_backward)
        {
            Outputs.WriteUncounted(Accumulator, row);
        }

        if (HasGradient)
        {
            NativeMemory.Clear(Gradient.Logits.Row(row), (nuint)(Problem.Vocabulary * Gradient.Logits.Type.SizeInBytes()));
        }
    }
}
