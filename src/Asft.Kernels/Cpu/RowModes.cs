namespace Asft.Kernels.Cpu;

/// <summary>
/// What the inner loops do with the reference logits. As type arguments these are constants to the compiler, so what an objective
/// does not use costs nothing.
/// </summary>
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

/// <summary>For importance weights, which need q[y] but no divergence.</summary>
internal readonly struct ReferenceProbability : IReferenceUse
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

/// <summary>A switch known at compile time.</summary>
internal interface ISwitch
{
    static abstract bool On { get; }
}

internal readonly struct On : ISwitch
{
    static bool ISwitch.On => true;
}

internal readonly struct Off : ISwitch
{
    static bool ISwitch.On => false;
}
