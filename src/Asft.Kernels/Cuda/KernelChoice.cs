namespace Asft.Kernels.Cuda;

/// <summary>Which kernels serve a problem: their module, and their name in it.</summary>
/// <param name="Module">Name of the module: one for each storage type of the policy.</param>
/// <param name="Suffix">What the kernel does with the reference: "", "_ratio", "_forward" or "_reverse".</param>
/// <param name="IsGeneral">
/// Whether it takes the kernel that decides on softcap, label smoothing and the type of the reference at run time.
/// </param>
internal readonly record struct KernelChoice(string Module, string Suffix, bool IsGeneral)
{
    /// <summary>Name of the module for rows that are stored as <paramref name="type"/>.</summary>
    /// <param name="type">The storage type.</param>
    /// <returns>The name.</returns>
    public static string ModuleOf(ElementType type) => type switch
    {
        ElementType.Float32 => "float32",
        ElementType.Float64 => "float64",
        ElementType.Float16 => "float16",
        _ => "bfloat16",
    };

    /// <summary>What serves a loss.</summary>
    /// <param name="problem">The problem.</param>
    /// <param name="wantsKl">Whether the divergence is wanted as an output.</param>
    /// <param name="wantsGradient">Whether the gradient is wanted.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfLoss(in TokenProblem problem, bool wantsKl, bool wantsGradient)
    {
        LossObjective objective = problem.Objective;
        bool kl = objective.KlWeight > 0 || (wantsKl && !problem.Reference.IsNull);
        string suffix = kl ? Direction(objective) : objective.Weighting == TokenWeighting.ImportanceRatio ? "_ratio" : string.Empty;

        // A divergence that is only looked at has no part in the gradient, which the general kernels know.
        bool special = suffix == "_ratio" || (kl && wantsGradient && objective.KlWeight == 0);
        return new KernelChoice(ModuleOf(problem.Logits.Type), suffix, special || NeedsGeneral(problem, suffix));
    }

    /// <summary>
    /// What serves a gradient: the reference is read only where the divergence has a part in the loss, or where a weight that depends on it
    /// has to be found once more.
    /// </summary>
    /// <param name="problem">The problem.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfGradient(in TokenProblem problem)
    {
        LossObjective objective = problem.Objective;
        string suffix = objective.KlWeight > 0 ? Direction(objective)
            : objective.Weighting == TokenWeighting.ImportanceRatio && !problem.Reference.IsNull ? "_ratio" : string.Empty;
        return new KernelChoice(ModuleOf(problem.Logits.Type), suffix, NeedsGeneral(problem, suffix));
    }

    /// <summary>The kernel of a stage that goes through the vocabulary: "loss" or "gradient".</summary>
    /// <param name="stage">The stage.</param>
    /// <returns>Its name in the module.</returns>
    public string Kernel(string stage) => stage + Suffix + (IsGeneral ? "_general" : string.Empty);

    private static bool NeedsGeneral(in TokenProblem problem, string suffix) =>
        problem.Objective.LogitSoftcap > 0
        || problem.Objective.LabelSmoothing > 0
        || (suffix.Length > 0 && problem.Reference.Type != problem.Logits.Type);

    private static string Direction(LossObjective objective) => objective.KlDirection == KlDirection.Forward ? "_forward" : "_reverse";
}
