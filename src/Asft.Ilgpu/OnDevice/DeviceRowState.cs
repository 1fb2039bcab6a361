namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>
/// The part of a row's <see cref="RowState"/> that the device finds, all but what belongs to the label. y is the logit x or, under a
/// softcap, <c>tanh(s*x/c)</c>, in the units of <see cref="RowUnits.PerY"/>, and z = factor*y. The factor is taken out because then no
/// product is followed by a subtraction, which a compiler might fuse for the policy and not for the reference; the KL of identical rows
/// would not be 0.
/// </summary>
internal struct DeviceRowState<T>
    where T : unmanaged
{
    /// <summary>The largest y of the policy; the lowest finite number where all are -inf.</summary>
    public T Max;

    /// <summary><c>sum e^(z - max z)</c> of the policy.</summary>
    public T Sum;

    /// <summary>The largest y of the reference.</summary>
    public T ReferenceMax;

    /// <summary><c>sum e^(z - max z)</c> of the reference.</summary>
    public T ReferenceSum;

    /// <summary>
    /// Reverse: what the reference's y are measured from in the cross term, the one where the policy's is largest. The differences that
    /// weigh most are small then and keep their digits.
    /// </summary>
    public T Center;

    /// <summary>The cross term of the KL divergence, divided by the factor.</summary>
    public T Cross;

    /// <summary>Over the policy's y above -inf, the sum of their distances from the largest, <c>y - max y</c>.</summary>
    public T Distance;

    /// <summary>With an entropy, <c>sum e^(z - max z) * (y - max y)</c>.</summary>
    public T Entropy;

    /// <summary>With an entropy, <c>sum e^(2*(z - max z))</c>.</summary>
    public T Squares;

    /// <summary>How many of the policy's y are above -inf.</summary>
    public long Unmasked;

    /// <summary>Index of the first of the policy's largest logits.</summary>
    public long Predicted;
}

/// <summary>
/// What the device needs to know to write a row's gradient: with <c>e = e^(z - max z)</c> and likewise e' of the reference,
/// <c>Policy*e + Reference*e' - Smoothing</c> (Forward) or <c>e*(Policy + Reference*d) - Smoothing</c> (Reverse),
/// where d is the difference of the distances of both y from their maxima. The label's own 1 is not in it: the host writes that
/// element.
/// </summary>
internal struct RowGradient<T>
    where T : unmanaged
{
    /// <summary>The largest y of the policy.</summary>
    public T Max;

    /// <summary>The largest y of the reference.</summary>
    public T ReferenceMax;

    /// <summary>Factor of the policy's exponential.</summary>
    public T Policy;

    /// <summary>Factor of the reference's exponential, or of the difference.</summary>
    public T Reference;

    /// <summary>Taken from the gradient of each unmasked logit.</summary>
    public T Smoothing;

    /// <summary>The policy's exponentials are e^Shift times as large, where their factor would not fit.</summary>
    public T Shift;
}
