namespace Asft.Kernels.Reference;

/// <summary>
/// The loss of one token and its gradient, straight from the definition, in double precision.
/// </summary>
/// <param name="Loss">Token loss.</param>
/// <param name="LogProbability">lp[y].</param>
/// <param name="Weight">w.</param>
/// <param name="Kl">KL divergence in the objective's direction; 0 without a reference.</param>
/// <param name="LogSumExp">lse of the transformed policy logits.</param>
/// <param name="ReferenceLogSumExp">lse of the transformed reference logits; 0 without a reference.</param>
/// <param name="Predicted">Index of the largest policy logit, or -1 where <paramref name="LogSumExp"/> is NaN.</param>
/// <param name="Gradient">Derivative of the token loss with respect to each policy logit x_i.</param>
public readonly record struct ReferenceRow(
    double Loss,
    double LogProbability,
    double Weight,
    double Kl,
    double LogSumExp,
    double ReferenceLogSumExp,
    long Predicted,
    double[] Gradient)
{
    /// <summary>Evaluates one row.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="policy">The V policy logits x.</param>
    /// <param name="reference">The V reference logits r, or null.</param>
    /// <param name="label">The label y, in <c>[0, V)</c>.</param>
    /// <returns>Everything there is to know about the row.</returns>
    /// <exception cref="ArgumentException">The objective needs a reference and there is none, or it has another length.</exception>
    public static ReferenceRow Evaluate(LossObjective objective, double[] policy, double[]? reference, long label)
    {
        ArgumentNullException.ThrowIfNull(objective);
        ArgumentNullException.ThrowIfNull(policy);
        if (reference is null ? objective.NeedsReference : reference.Length != policy.Length)
        {
            throw new ArgumentException(
                Invariant($"The reference row has {reference?.Length ?? 0} logits, the policy row {policy.Length}."));
        }

        double[] z = Array.ConvertAll(policy, x => Transform(objective, x));
        double lse = LogSumExpOf(z);
        double[] lp = Array.ConvertAll(z, value => value - lse);
        double[] p = Array.ConvertAll(lp, Math.Exp);

        double[] zr = reference is null ? [] : Array.ConvertAll(reference, r => Transform(objective, r));
        double referenceLse = reference is null ? 0 : LogSumExpOf(zr);
        double[] lq = Array.ConvertAll(zr, value => value - referenceLse);
        double[] q = Array.ConvertAll(lq, Math.Exp);

        double eps = objective.LabelSmoothing;
        int unmasked = z.Count(value => value > double.NegativeInfinity);
        double meanLp = z.Sum(value => double.IsNegativeInfinity(value) ? 0 : value - lse) / z.Length;
        double nll = Times(-(1 - eps), lp[label]) - Times(eps, meanLp);
        double w = objective.Weighting switch
        {
            TokenWeighting.Probability => Math.Pow(p[label], objective.WeightExponent),
            TokenWeighting.ImportanceRatio =>
                Math.Clamp(Math.Exp(lp[label] - lq[label]), objective.WeightMin, objective.WeightMax),
            _ => 1,
        };

        bool forward = objective.KlDirection == KlDirection.Forward;
        double kl = 0;
        for (int i = 0; i < zr.Length; i++)
        {
            kl += forward ? Times(q[i], lq[i] - lp[i]) : Times(p[i], lp[i] - lq[i]);
        }

        kl = kl < 0 ? 0 : kl;
        double loss = Times(w, nll) + Times(objective.KlWeight, kl) + Times(objective.ZLossWeight, lse * lse);

        // The mean of the log-probabilities runs over the unmasked entries, divided by V; without a mask this is -eps/V for each i.
        double share = 1 - eps + (eps * unmasked / z.Length);
        var gradient = new double[z.Length];
        for (int i = 0; i < z.Length; i++)
        {
            double smoothing = double.IsNegativeInfinity(z[i]) ? 0 : eps / z.Length;
            double dz = (w * ((share * p[i]) - (i == label ? 1 - eps : 0) - smoothing)) + (2 * objective.ZLossWeight * Times(p[i], lse));
            if (objective.KlWeight > 0)
            {
                dz += objective.KlWeight * (forward ? p[i] - q[i] : Times(p[i], lp[i] - lq[i] - kl));
            }

            gradient[i] = dz * Slope(objective, policy[i]);
        }

        long predicted = double.IsNaN(lse) ? -1 : Array.IndexOf(z, z.Max());
        return new ReferenceRow(loss, lp[label], w, kl, lse, referenceLse, predicted, gradient);
    }

    /// <summary>z = s*x, or c*tanh(s*x/c) under a softcap.</summary>
    private static double Transform(LossObjective objective, double x)
    {
        double scaled = objective.LogitScale * x;
        double cap = objective.LogitSoftcap;
        return cap > 0 ? cap * Math.Tanh(scaled / cap) : scaled;
    }

    /// <summary>dz/dx = s*(1 - tanh²(s*x/c)), or s without a softcap.</summary>
    private static double Slope(LossObjective objective, double x)
    {
        if (objective.LogitSoftcap == 0)
        {
            return objective.LogitScale;
        }

        double tanh = Math.Tanh(objective.LogitScale * x / objective.LogitSoftcap);
        return objective.LogitScale * (1 - (tanh * tanh));
    }

    private static double LogSumExpOf(double[] z)
    {
        double max = z.Max();
        return double.IsNegativeInfinity(max) ? max : max + Math.Log(z.Sum(value => Math.Exp(value - max)));
    }

    /// <summary>A product in which a factor of exactly 0 is a term that is switched off: 0*log 0 = 0, and a weight of 0 hides an infinity.</summary>
    private static double Times(double factor, double value) => factor == 0 ? 0 : factor * value;
}
