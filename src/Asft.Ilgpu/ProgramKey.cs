namespace Asft.Kernels.Ilgpu;

/// <summary>All that device code is compiled for: each value is a program of its own.</summary>
internal readonly record struct ProgramKey(ElementType Policy, ElementType Reference, ReferenceUse Use, bool Smoothing, bool Softcap, bool Entropy)
{
    /// <summary>The program of a call, or of its gradient, that makes so much of the reference.</summary>
    public static ProgramKey Of(in RowPlan plan, ReferenceUse use, bool entropy) => new(
        plan.Problem.Logits.Type,
        use == ReferenceUse.None ? plan.Problem.Logits.Type : plan.Problem.Reference.Type,
        use,
        plan.HasSmoothing,
        plan.HasSoftcap,
        entropy);
}
