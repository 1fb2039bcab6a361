namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>
/// What the device code does with the reference logits. As type arguments the answers are constants to ILGPU, so that the code
/// compiled for an objective holds nothing that the objective does not use.
/// </summary>
internal interface IReferenceMode
{
    /// <summary>The reference row is read, for its log-sum-exp at least.</summary>
    static abstract bool Reads { get; }

    /// <summary>KL(ref || policy) is wanted.</summary>
    static abstract bool Forward { get; }

    /// <summary>KL(policy || ref) is wanted.</summary>
    static abstract bool Reverse { get; }
}

internal readonly struct WithoutReference : IReferenceMode
{
    public static bool Reads => false;

    public static bool Forward => false;

    public static bool Reverse => false;
}

/// <summary>For importance weights, which need the reference's log-sum-exp and no divergence.</summary>
internal readonly struct WithReferenceSum : IReferenceMode
{
    public static bool Reads => true;

    public static bool Forward => false;

    public static bool Reverse => false;
}

internal readonly struct WithForwardKl : IReferenceMode
{
    public static bool Reads => true;

    public static bool Forward => true;

    public static bool Reverse => false;
}

internal readonly struct WithReverseKl : IReferenceMode
{
    public static bool Reads => true;

    public static bool Forward => false;

    public static bool Reverse => true;
}

/// <summary>A choice known when the device code is compiled.</summary>
internal interface IChoice
{
    static abstract bool Yes { get; }
}

internal readonly struct Yes : IChoice
{
    static bool IChoice.Yes => true;
}

internal readonly struct No : IChoice
{
    static bool IChoice.Yes => false;
}
