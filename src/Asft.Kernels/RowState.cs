using System.Runtime.InteropServices;
using Asft.Kernels.Divergence;

namespace Asft.Kernels;

/// <summary>
/// All that is known of a row once its logits have been read: the online form of the softmax (Milakov and Gimelshein, arXiv 1805.02867),
/// extended by the cross term of the KL divergence and the terms of the label. States of disjoint parts of a row merge associatively,
/// whether the parts are blocks of a cache or shards of the vocabulary.
/// </summary>
/// <remarks>
/// The policy's logits, scaled and capped as the objective says, are <c>z = factor*y</c>, with the logit itself as y or, under a softcap,
/// its hyperbolic tangent; <c>zr = factor*yr</c> are the reference's. All is measured in y, which keeps every digit of the logits, and from
/// maxima: a constant offset between the two models stays out of the sums, where it would cancel badly, and logits of every size fit.
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
public readonly record struct RowState
{
    /// <summary>About the largest y of the policy, m_p: what exponentials are measured from; 0 while none is above -inf.</summary>
    public double Max { get; init; }

    /// <summary><c>S_p = sum e^(factor*(y - m_p))</c>.</summary>
    public double Sum { get; init; }

    /// <summary>The same sum without the label's own term, which where the label is almost certain is not to be had by subtraction.</summary>
    public double OtherSum { get; init; }

    /// <summary>About the largest y of the reference, m_q; 0 while none is above -inf, and without a reference.</summary>
    public double ReferenceMax { get; init; }

    /// <summary><c>S_q = sum e^(factor*(yr - m_q))</c>; 0 without a reference.</summary>
    public double ReferenceSum { get; init; }

    /// <summary>
    /// Reverse: about the reference's y where the policy has its mass, c: what differences are measured from, so that those that weigh
    /// most are small; 0 in the other direction.
    /// </summary>
    public double Center { get; init; }

    /// <summary>
    /// Forward: <c>T = sum e^(factor*(yr - m_q)) * ((yr - m_q) - (y - m_p))</c>; Reverse:
    /// <c>T = sum e^(factor*(y - m_p)) * ((y - m_p) - (yr - c))</c>. 0 where no divergence is wanted.
    /// </summary>
    public double Cross { get; init; }

    /// <summary>With label smoothing, the sum of <c>(y - m_p)/V</c> over the unmasked logits, those above -inf.</summary>
    public double Distance { get; init; }

    /// <summary>With label smoothing, the share of the vocabulary that is unmasked, in this part.</summary>
    public double Unmasked { get; init; }

    /// <summary>The label's y; 0 where the label is in another part.</summary>
    public double Label { get; init; }

    /// <summary>The label's y of the reference; 0 where the label is in another part, and without a reference.</summary>
    public double ReferenceLabel { get; init; }

    /// <summary>With an entropy, <c>E = sum e^(factor*(y - m_p)) * (y - m_p)</c>.</summary>
    public double Entropy { get; init; }

    /// <summary>Where it is asked for, <c>sum e^(2*factor*(y - m_p))</c>.</summary>
    public double Squares { get; init; }

    /// <summary>With a top-k reference, S_p without the terms of its entries; 0 without one. The reference's sums and the cross term are over those alone.</summary>
    public double TailSum { get; init; }

    /// <summary>The largest logit of the policy itself.</summary>
    public double Largest { get; init; }

    /// <summary>The index of that logit in the whole vocabulary, the first of equals.</summary>
    public long Predicted { get; init; }

    /// <summary>The state of the union of two disjoint parts of a row.</summary>
    /// <param name="a">One part.</param>
    /// <param name="b">The other part.</param>
    /// <param name="use">What both know of the reference.</param>
    /// <param name="factor">z = factor*y.</param>
    /// <returns>The merged state.</returns>
    internal static RowState Merge(in RowState a, in RowState b, ReferenceUse use, double factor) => use switch
    {
        ReferenceUse.ForwardKl => Merge<ForwardKl>(a, b, factor),
        ReferenceUse.ReverseKl => Merge<ReverseKl>(a, b, factor),
        _ => Merge<NoReference>(a, b, factor),
    };

    /// <summary>The state of the union of two disjoint parts of a row.</summary>
    /// <param name="a">One part.</param>
    /// <param name="b">The other part.</param>
    /// <param name="factor">z = factor*y.</param>
    /// <typeparam name="TDivergence">What both cross terms are of.</typeparam>
    /// <returns>The merged state.</returns>
    internal static RowState Merge<TDivergence>(in RowState a, in RowState b, double factor)
        where TDivergence : struct, IDivergence
    {
        if (a.Max == b.Max && a.ReferenceMax == b.ReferenceMax && a.Center == b.Center)
        {
            return Add(a, b);
        }

        double max = MergedMax(a.Max, a.Sum, b.Max, b.Sum);
        double referenceMax = MergedMax(a.ReferenceMax, a.ReferenceSum, b.ReferenceMax, b.ReferenceSum);
        double center = a.Sum == 0 || (b.Sum != 0 && b.Max > a.Max) ? b.Center : a.Center;
        RowState left = a.RelativeTo<TDivergence>(max, referenceMax, center, factor);
        RowState right = b.RelativeTo<TDivergence>(max, referenceMax, center, factor);
        return Add(left with { Max = max, ReferenceMax = referenceMax, Center = center }, right);
    }

    /// <summary>The sum of two states that are measured from the same points, which are those of the first.</summary>
    private static RowState Add(in RowState a, in RowState b)
    {
        bool larger = IsLarger(b, a);
        return new RowState
        {
            Max = a.Max,
            Sum = a.Sum + b.Sum,
            OtherSum = a.OtherSum + b.OtherSum,
            ReferenceMax = a.ReferenceMax,
            ReferenceSum = a.ReferenceSum + b.ReferenceSum,
            Center = a.Center,
            Cross = a.Cross + b.Cross,
            Entropy = a.Entropy + b.Entropy,
            Squares = a.Squares + b.Squares,
            TailSum = a.TailSum + b.TailSum,
            Distance = a.Distance + b.Distance,
            Unmasked = a.Unmasked + b.Unmasked,
            Label = a.Label + b.Label,
            ReferenceLabel = a.ReferenceLabel + b.ReferenceLabel,
            Largest = larger ? b.Largest : a.Largest,
            Predicted = larger ? b.Predicted : a.Predicted,
        };
    }

    /// <summary>The same state, measured from other maxima.</summary>
    private RowState RelativeTo<TDivergence>(double max, double referenceMax, double center, double factor)
        where TDivergence : struct, IDivergence
    {
        double rise = max - Max;
        double referenceRise = referenceMax - ReferenceMax;
        double centerRise = center - Center;
        if (rise == 0 && referenceRise == 0 && centerRise == 0)
        {
            return this;
        }

        // A sum of 0 stays 0, wherever it was measured from.
        double scale = Sum == 0 ? 0 : Math.Exp(-factor * rise);
        double referenceScale = ReferenceSum == 0 ? 0 : Math.Exp(-factor * referenceRise);
        double crossScale = TDivergence.Weighing(scale, referenceScale);
        double weight = TDivergence.Weighing(Sum - TailSum, ReferenceSum);
        double measuredRise = TDivergence.HasCenter ? centerRise : referenceRise;
        double moved = weight == 0 ? 0 : weight * (TDivergence.Weighing(measuredRise, rise) - TDivergence.Weighing(rise, measuredRise));
        return this with
        {
            Sum = Sum * scale,
            OtherSum = OtherSum * scale,
            Entropy = scale == 0 ? 0 : (Entropy - (Sum * rise)) * scale,
            Squares = Squares * scale * scale,
            TailSum = TailSum * scale,
            ReferenceSum = ReferenceSum * referenceScale,
            Cross = crossScale == 0 ? 0 : (Cross + moved) * crossScale, // what has lost its weight is gone, even an infinite term
            Distance = Unmasked == 0 ? 0 : Distance - (Unmasked * rise),
        };
    }

    /// <summary>Whether the largest logit of two parts is in the first; a part without a logit above -inf has none.</summary>
    private static bool IsLarger(in RowState part, in RowState other) => part.Sum != 0
        && (other.Sum == 0 || part.Largest > other.Largest || (part.Largest == other.Largest && part.Predicted < other.Predicted));

    private static double MergedMax(double a, double sumA, double b, double sumB) =>
        sumA == 0 ? b : sumB == 0 ? a : Math.Max(a, b);
}
