namespace Asft.Kernels.Divergence;

/// <summary>The reference is not read.</summary>
internal readonly struct NoReference : IDivergence
{
    public static bool Reads => false;

    public static bool IsSummed => false;

    public static bool HasCenter => false;
}

/// <summary>The reference is read for its log-sum-exp, which importance ratios need, and has no part in the gradient.</summary>
internal readonly struct ReferenceSum : IDivergence
{
    public static bool Reads => true;

    public static bool IsSummed => false;

    public static bool HasCenter => false;
}
