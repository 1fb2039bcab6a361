namespace Asft.Kernels;

/// <summary>
/// What has been seen of a row so far, in the online form of the softmax (Milakov and Gimelshein, arXiv 1805.02867), extended by the
/// cross term of the KL divergence. States of disjoint parts of a row merge associatively, whether the parts are SIMD lanes, cache
/// blocks or vocabulary shards on several devices.
/// </summary>
/// <param name="Max">Largest policy logit m_p; 0 while there is none above -inf.</param>
/// <param name="Sum"><c>S_p = sum e^(z - m_p)</c>.</param>
/// <param name="ReferenceMax">Largest reference logit m_q; 0 while there is none above -inf.</param>
/// <param name="ReferenceSum"><c>S_q = sum e^(zr - m_q)</c>.</param>
/// <param name="Cross">
/// Forward: <c>T = sum e^(zr - m_q) * d</c>; Reverse: <c>T = sum e^(z - m_p) * -d</c>; with <c>d = (zr - m_q) - (z - m_p)</c>.
/// Measuring the logits from their maxima keeps a constant offset between the two models out of the sum, where it would cancel badly.
/// </param>
internal readonly record struct RowState(double Max, double Sum, double ReferenceMax, double ReferenceSum, double Cross)
{
    /// <summary><c>log sum e^z</c>; -inf for an empty row.</summary>
    public double LogSumExp => Max + Math.Log(Sum);

    /// <summary><c>log sum e^zr</c>.</summary>
    public double ReferenceLogSumExp => ReferenceMax + Math.Log(ReferenceSum);

    /// <summary>The KL divergence, never negative: Forward <c>T/S_q + log(S_p/S_q)</c>, Reverse <c>T/S_p + log(S_q/S_p)</c>.</summary>
    /// <param name="direction">The direction <see cref="Cross"/> was summed in.</param>
    /// <returns>The divergence in nats; NaN for a row without a distribution.</returns>
    public double Kl(KlDirection direction)
    {
        double kl = direction == KlDirection.Forward
            ? (Cross / ReferenceSum) + (Math.Log(Sum) - Math.Log(ReferenceSum))
            : (Cross / Sum) + (Math.Log(ReferenceSum) - Math.Log(Sum));
        return kl < 0 ? 0 : kl; // rounding alone; NaN passes
    }

    /// <summary>The state of the union of two disjoint parts of a row.</summary>
    /// <param name="a">One part.</param>
    /// <param name="b">The other part.</param>
    /// <param name="direction">The direction both cross terms were summed in.</param>
    /// <returns>The merged state.</returns>
    public static RowState Merge(in RowState a, in RowState b, KlDirection direction)
    {
        double max = MergedMax(a.Max, a.Sum, b.Max, b.Sum);
        double referenceMax = MergedMax(a.ReferenceMax, a.ReferenceSum, b.ReferenceMax, b.ReferenceSum);
        RowState left = a.RelativeTo(max, referenceMax, direction);
        RowState right = b.RelativeTo(max, referenceMax, direction);
        return new RowState(
            max,
            left.Sum + right.Sum,
            referenceMax,
            left.ReferenceSum + right.ReferenceSum,
            left.Cross + right.Cross);
    }

    /// <summary>The same state, measured from other maxima.</summary>
    private RowState RelativeTo(double max, double referenceMax, KlDirection direction)
    {
        // A part without any logit above -inf has sums of exactly 0, and its maximum means nothing.
        double scale = Sum == 0 ? 0 : Max == max ? 1 : Math.Exp(Max - max);
        double referenceScale = ReferenceSum == 0 ? 0 : ReferenceMax == referenceMax ? 1 : Math.Exp(ReferenceMax - referenceMax);
        double shift = (ReferenceMax - referenceMax) - (Max - max); // d moves by this
        double cross = direction == KlDirection.Forward
            ? (Cross + (ReferenceSum == 0 ? 0 : ReferenceSum * shift)) * referenceScale
            : (Cross - (Sum == 0 ? 0 : Sum * shift)) * scale;
        return new RowState(max, Sum * scale, referenceMax, ReferenceSum * referenceScale, cross);
    }

    private static double MergedMax(double a, double sumA, double b, double sumB) =>
        sumA == 0 ? b : sumB == 0 ? a : Math.Max(a, b);
}
