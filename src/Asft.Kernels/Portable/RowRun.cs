using System.Runtime.InteropServices;

namespace Asft.Kernels.Portable;

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
        bool kl = problem.Objective.KlWeight > 0 || (!backward && outputs.Kl != null && !problem.Reference.IsNull);
        Sums = RowMode.OfSums(problem, kl, weight: !backward);
        Differential = RowMode.OfGradient(problem);
    }

    public TokenProblem Problem { get; }

    /// <summary>Where outputs go or, backward, where they were saved.</summary>
    public TokenOutputs Outputs { get; }

    public TokenGradient Gradient { get; }

    /// <summary>The type of outputs and upstream gradients.</summary>
    public ElementType Accumulator { get; }

    /// <summary>Mode of the sums; its use of the reference covers the gradient's.</summary>
    public RowMode Sums { get; }

    /// <summary>Mode of the gradient.</summary>
    public RowMode Differential { get; }

    public bool HasGradient => !Gradient.Logits.IsNull;

    /// <summary>How many rows' logits fit into so much memory; at least one.</summary>
    public int RowsWithin(long bytes)
    {
        long row = Problem.Vocabulary * Problem.Logits.Type.SizeInBytes();
        row += Sums.Use == ReferenceUse.None ? 0 : Problem.Vocabulary * Problem.Reference.Type.SizeInBytes();
        return (int)Math.Clamp(bytes / row, 1, Math.Clamp(Problem.Rows, 1, int.MaxValue));
    }

    public bool Counts(long row) => Problem.Labels[row] != Problem.Objective.IgnoreIndex;

    /// <summary>The weight of a row that an earlier call saved; null where it has to be found.</summary>
    public double? SavedWeight(long row) => _backward ? ScalarElement.Read(Outputs.Weight, Accumulator, row) : null;

    /// <summary>Writes what can be known once the sums are.</summary>
    public void WriteOutputs(long row, in RowResult result, long predicted)
    {
        if (!_backward)
        {
            result.Write(Problem.Objective, Outputs, Accumulator, row, predicted);
        }
    }

    /// <summary>The scale of a row's gradient, its upstream gradient included.</summary>
    public double ScaleOf(long row) => Gradient.Upstream == null
        ? Gradient.Scale
        : Gradient.Scale * ScalarElement.Read(Gradient.Upstream, Accumulator, row * Gradient.UpstreamStride);

    /// <summary>A row that counts for nothing: no logit is read, its outputs are 0, and so is its gradient.</summary>
    public void Ignore(long row)
    {
        if (!_backward)
        {
            Outputs.WriteIgnored(Accumulator, row);
        }

        if (HasGradient)
        {
            NativeMemory.Clear(Gradient.Logits.Row(row), (nuint)(Problem.Vocabulary * Gradient.Logits.Type.SizeInBytes()));
        }
    }
}
