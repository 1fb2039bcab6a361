namespace Asft.Kernels.Cuda;

/// <summary>For which losses a kernel is.</summary>
internal enum KernelForm
{
    /// <summary>Without softcap and without label smoothing.</summary>
    Fast,

    /// <summary>With a softcap and without label smoothing; not in float64.</summary>
    Capped,

    /// <summary>For all: it decides on softcap and label smoothing at run time.</summary>
    General,
}

/// <summary>How the kernels of a form go through a row.</summary>
internal static class KernelForms
{
    /// <summary>Logits of a tile: those that the lanes of a warp take at a time.</summary>
    /// <param name="form">The form.</param>
    /// <param name="type">Storage type of the policy.</param>
    /// <returns>The number.</returns>
    public static int TileOf(this KernelForm form, ElementType type) => KernelConstants.WarpSize * (type, form) switch
    {
        (ElementType.Float64, _) => KernelConstants.Float64Chunk,
        (ElementType.Float32, KernelForm.Fast) => KernelConstants.Float32Chunk,
        (ElementType.Float32, KernelForm.Capped) => KernelConstants.Float32CappedChunk,
        (ElementType.Float32, _) => KernelConstants.Float32GeneralChunk,
        (_, KernelForm.Fast) => KernelConstants.HalfChunk,
        (_, KernelForm.Capped) => KernelConstants.HalfCappedChunk,
        _ => KernelConstants.HalfGeneralChunk,
    };
}

/// <summary>Which kernels serve a problem: their module, and their name in it.</summary>
/// <param name="Module">Name of the module: one for each storage type of the policy.</param>
/// <param name="Use">What they make of the reference.</param>
/// <param name="Form">For which losses they are.</param>
/// <param name="IsTopK">Whether it takes the kernel of a top-k reference, which knows both directions.</param>
internal readonly record struct KernelChoice(string Module, ReferenceUse Use, KernelForm Form, bool IsTopK = false)
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

    /// <summary>How the name of a module ends that is for rows that the blocks of a cluster share.</summary>
    public const string ForClusters = "_sm90";

    /// <summary>The module of the same kernels for rows that the blocks of a cluster share.</summary>
    public string ClusterModule => Module + ForClusters;

    /// <summary>What serves a loss.</summary>
    /// <param name="plan">The call.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfLoss(in RowPlan plan)
    {
        // A divergence that is only looked at has no part in the gradient, which the general kernels know.
        bool special = plan.Reads == ReferenceUse.Sum || (plan.HasGradient && plan.Reads != plan.GradientUse);
        return Of(plan, plan.Reads, special);
    }

    /// <summary>What serves a gradient: the reference is read only where the divergence has a part in the loss.</summary>
    /// <param name="plan">The call.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfGradient(in RowPlan plan) => plan.IsTopK && plan.GradientUse != ReferenceUse.None
        ? new(ModuleOf(plan.Problem.Logits.Type), plan.GradientUse, KernelForm.Fast, IsTopK: true)
        : Of(plan, plan.GradientUse, special: false);

    /// <summary>What serves a summary; there is one kernel for all storage types of the reference, with and without softcap.</summary>
    /// <param name="plan">The call.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfSummary(in RowPlan plan) =>
        Of(plan, plan.Reads == ReferenceUse.Sum ? ReferenceUse.ForwardKl : plan.Reads, special: true); // which sums a cross term that nobody looks at

    /// <summary>What merges states: the cross term of a top-k reference moves as that of its direction, and where there is none, nothing moves.</summary>
    /// <param name="plan">The call.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfMerge(in RowPlan plan)
    {
        ReferenceUse use = plan.IsTopK ? plan.Use : plan.Reads;
        return new("states", use == ReferenceUse.Sum ? ReferenceUse.None : use, KernelForm.Fast);
    }

    /// <summary>What makes results of states.</summary>
    /// <param name="plan">The call.</param>
    /// <returns>The choice.</returns>
    public static KernelChoice OfFinish(in RowPlan plan) => new("states", plan.Reads, KernelForm.Fast, plan.IsTopK);

    /// <summary>The kernel of a stage that goes through the vocabulary: "loss" or "gradient".</summary>
    /// <param name="stage">The stage.</param>
    /// <returns>Its name in the module.</returns>
    public string Kernel(string stage) => Step(stage) + Form switch
    {
        KernelForm.General => "_general",
        KernelForm.Capped => "_capped",
        _ => string.Empty,
    };

    /// <summary>The kernel of a stage of which there is one for all problems: any other.</summary>
    /// <param name="stage">The stage.</param>
    /// <returns>Its name in the module.</returns>
    public string Step(string stage) => $"{stage}_{(IsTopK ? "TopK" : Use)}";

    private static KernelChoice Of(in RowPlan plan, ReferenceUse use, bool special) =>
        new(ModuleOf(plan.Problem.Logits.Type), use, FormOf(plan, special));

    private static KernelForm FormOf(in RowPlan plan, bool special) =>
        special || plan.HasSmoothing ? KernelForm.General
        : !plan.HasSoftcap ? KernelForm.Fast
        : plan.Problem.Logits.Type == ElementType.Float64 ? KernelForm.General
        : KernelForm.Capped;
}
