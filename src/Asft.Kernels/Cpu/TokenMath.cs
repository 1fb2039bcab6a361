namespace Asft.Kernels.Cpu;

/// <summary>The per-token arithmetic, in double: from the sums over a row to its loss and to the coefficients of its gradient.</summary>
internal static class TokenMath
{
    /// <summary>z = s*x, or c*tanh(s*x/c) under a softcap.</summary>
    public static double Transform(LossObjective objective, double x)
    {
        double scaled = objective.LogitScale * x;
        double cap = objective.LogitSoftcap;
        return cap > 0 ? cap * Math.Tanh(scaled / cap) : scaled;
    }

    /// <summary>The weight w of the negative log-likelihood.</summary>
    public static double Weight(LossObjective objective, double logProbability, double referenceLogProbability) => objective.Weighting switch
    {
        // p^0 is 1 even where p is 0.
        TokenWeighting.Probability when objective.WeightExponent == 0 => 1,
        TokenWeighting.Probability => Math.Exp(objective.WeightExponent * logProbability),
        TokenWeighting.ImportanceRatio =>
            Math.Clamp(Math.Exp(logProbability - referenceLogProbability), objective.WeightMin, objective.WeightMax),
        _ => 1,
    };

    /// <summary>w*nll + KlWeight*kl + ZLossWeight*lse², where a factor of 0 switches its term off, even an infinite one.</summary>
    public static double Loss(LossObjective objective, double weight, double logProbability, double meanLogProbability, double kl, double lse)
    {
        double eps = objective.LabelSmoothing;
        double nll = -Times(1 - eps, logProbability) - Times(eps, meanLogProbability);
        return Times(weight, nll) + Times(objective.KlWeight, kl) + Times(objective.ZLossWeight, lse * lse);
    }

    private static double Times(double factor, double value) => factor == 0 ? 0 : factor * value;
}

/// <summary>
/// The gradient of a row with respect to z_i is <c>Policy*p_i + Reference*q_i - Smoothing - Label*[i=y]</c> (Forward) or
/// <c>p_i*(Policy + Reference*(z_i - zr_i)) - Smoothing - Label*[i=y]</c> (Reverse).
/// </summary>
internal readonly record struct GradientCoefficients(double Policy, double Reference, double Smoothing, double Label)
{
    /// <summary>Whether the gradient exists.</summary>
    public bool AreFinite =>
        double.IsFinite(Policy) && double.IsFinite(Reference) && double.IsFinite(Smoothing) && double.IsFinite(Label);

    /// <summary>Derives the coefficients from the derivative of the objective (docs/design.md).</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="scale">A factor on everything.</param>
    /// <param name="weight">w, a constant for differentiation.</param>
    /// <param name="kl">KL divergence of the row; used by Reverse alone.</param>
    /// <param name="lse">Log-sum-exp of the policy.</param>
    /// <param name="referenceLse">Log-sum-exp of the reference.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="unmasked">Number of logits above -inf; used with label smoothing alone.</param>
    /// <returns>The coefficients.</returns>
    public static GradientCoefficients Of(
        LossObjective objective, double scale, double weight, double kl, double lse, double referenceLse, long vocabulary, double unmasked)
    {
        double eps = objective.LabelSmoothing;
        double klWeight = objective.KlWeight;

        // The smoothed part of the loss is -eps/V * sum over unmasked i of lp_i, so its lse carries eps*unmasked/V.
        double policy = weight * (eps == 0 ? 1 : 1 - eps + (eps * unmasked / vocabulary));
        if (objective.ZLossWeight != 0)
        {
            policy += 2 * objective.ZLossWeight * lse;
        }

        double reference = 0;
        if (klWeight > 0)
        {
            bool forward = objective.KlDirection == KlDirection.Forward;
            policy += klWeight * (forward ? 1 : referenceLse - lse - kl);
            reference = forward ? -klWeight : klWeight;
        }

        return new GradientCoefficients(
            scale * policy,
            scale * reference,
            scale * weight * eps / vocabulary,
            scale * weight * (1 - eps));
    }
}
