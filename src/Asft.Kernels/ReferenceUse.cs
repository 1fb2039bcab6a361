namespace Asft.Kernels;

/// <summary>What is made of a row's reference logits.</summary>
internal enum ReferenceUse
{
    /// <summary>Nothing: they are not read.</summary>
    None,

    /// <summary>Their log-sum-exp, for importance ratios.</summary>
    Sum,

    /// <summary>That, and the cross term of KL(ref || policy).</summary>
    ForwardKl,

    /// <summary>That, and the cross term of KL(policy || ref).</summary>
    ReverseKl,
}

/// <summary><see cref="ReferenceUse"/> as a type argument: a constant to the compiler, so that what an objective does not use costs nothing.</summary>
internal interface IReferenceUse
{
    /// <summary>The reference row is read, for its log-sum-exp at least.</summary>
    static abstract bool Reads { get; }

    /// <summary>The cross term of KL(ref || policy) is summed.</summary>
    static abstract bool Forward { get; }

    /// <summary>The cross term of KL(policy || ref) is summed.</summary>
    static abstract bool Reverse { get; }
}

internal readonly struct NoReference : IReferenceUse
{
    public static bool Reads => false;

    public static bool Forward => false;

    public static bool Reverse => false;
}

internal readonly struct ReferenceSum : IReferenceUse
{
    public static bool Reads => true;

    public static bool Forward => false;

    public static bool Reverse => false;
}

internal readonly struct ForwardKl : IReferenceUse
{
    public static bool Reads => true;

    public static bool Forward => true;

    public static bool Reverse => false;
}

internal readonly struct ReverseKl : IReferenceUse
{
    public static bool Reads => true;

    public static bool Forward => false;

    public static bool Reverse => true;
}
