namespace Asft.Kernels.Ilgpu;

/// <summary>All that device code is compiled for: each value is a program of its own.</summary>
internal readonly record struct RowMode(ElementType Policy, ElementType Reference, ReferenceUse Use, bool Smoothing, bool Softcap)
{
    /// <summary>What the sums of a problem take.</summary>
    /// <param name="problem">The problem.</param>
    /// <param name="kl">Whether the divergence is wanted.</param>
    /// <returns>The mode.</returns>
    public static RowMode OfSums(in TokenProblem problem, bool kl) => Of(
        problem,
        kl ? Divergence(problem.Objective)
        : problem.Objective.Weighting == TokenWeighting.ImportanceRatio ? ReferenceUse.Sum
        : ReferenceUse.None);

    /// <summary>What the gradient of a problem takes: the reference only where the divergence has a part in the loss.</summary>
    /// <param name="problem">The problem.</param>
    /// <returns>The mode.</returns>
    public static RowMode OfGradient(in TokenProblem problem) =>
        Of(problem, problem.Objective.KlWeight > 0 ? Divergence(problem.Objective) : ReferenceUse.None);

    private static RowMode Of(in TokenProblem problem, ReferenceUse use) => new(
        problem.Logits.Type,
        use == ReferenceUse.None ? problem.Logits.Type : problem.Reference.Type,
        use,
        problem.Objective.LabelSmoothing > 0,
        problem.Objective.LogitSoftcap > 0);

    private static ReferenceUse Divergence(LossObjective objective) =>
        objective.KlDirection == KlDirection.Forward ? ReferenceUse.ForwardKl : ReferenceUse.ReverseKl;
}
