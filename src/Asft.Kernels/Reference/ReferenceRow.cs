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
/// <param name="Entropy">H of the policy, in nats.</param>
/// <param name="SquaredProbabilitySum"><c>sum p²</c> of the policy.</param>
/// <param name="ReferenceLogProbability">lq[y]; 0 where the reference does not tell.</param>
/// <param name="Predicted">Index of the largest policy logit, or -1 where <paramref name="LogSumExp"/> is NaN.</param>
/// <param name="Gradient">Derivative of the token loss with respect to each policy logit x_i.</param>
public readonly record struct ReferenceRow(
    double Loss,
    double LogProbability,
    double Weight,
    double Kl,
    double LogSumExp,
    double ReferenceLogSumExp,
    double Entropy,
    double SquaredProbabilitySum,
    double ReferenceLogProbability,
    long Predicted,
    double[] Gradient)
{
    /// <summary>Evaluates one row.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="policy">The V policy logits x.</param>
    /// <param name="reference">The V reference logits r, or null.</param>
    /// <param name="label">The label y, in <c>[0, V)</c>.</param>
    /// <param name="labelLogProbability">In place of the reference logits, lq[y].</param>
    /// <param name="topK">In place of the reference logits, indices and log-probabilities of the reference's most likely entries.</param>
    /// <param name="tokenWeight">The caller's factor u of the loss.</param>
    /// <param name="weight">w before its bounds, where it is not the objective's.</param>
    /// <returns>Everything there is to know about the row.</returns>
    /// <exception cref="ArgumentException">The objective needs a reference and there is none, or it has another length.</exception>
    public static ReferenceRow Evaluate(
        LossObjective objective,
        double[] policy,
        double[]? reference,
        long label,
        double? labelLogProbability = null,
        (long[] Indices, double[] LogProbabilities)? topK = null,
        double tokenWeight = 1,
        double? weight = null)
    {
        ArgumentNullException.ThrowIfNull(objective);
        ArgumentNullException.ThrowIfNull(policy);
        if (reference is null ? objective.NeedsReference && labelLogProbability is null && topK is null : reference.Length != policy.Length)
        {
            throw new ArgumentException(
                Invariant($"The reference row has {reference?.Length ?? 0} logits, the policy row {policy.Length}."));
        }

        // z = factor*y. Distances are taken between the y, which have every digit of the logits, and logarithms in units of 1/u nats, so
        // that the distance of any two finite logits is a finite number.
        double factor = objective.LogitSoftcap > 0 ? objective.LogitSoftcap : objective.LogitScale;
        double[] y = Array.ConvertAll(policy, x => Transform(objective, x));
        double[] yr = reference is null ? [] : Array.ConvertAll(reference, r => Transform(objective, r));
        double u = y.Concat(yr).Any(value => double.IsFinite(value) && Math.Abs(value) > 1e290) ? Math.ScaleB(1, -40) : 1;
        (double[] lp, double max, double logSum) = LogSoftmax(y, factor, u);
        (double[] lq, double referenceMax, double referenceLogSum) = reference is null ? ([], 0, 0) : LogSoftmax(yr, factor, u);
        double lse = (factor * max) + logSum;
        double referenceLse = (factor * referenceMax) + referenceLogSum;
        double[] p = Array.ConvertAll(lp, value => Math.Exp(value / u));
        double[] q = Array.ConvertAll(lq, value => Math.Exp(value / u));

        // Of a label that is almost certain, 1 - p and log p come from what the others have: a large weight shows every digit of them.
        double others = y.Where((_, i) => i != label).Sum(value => Math.Exp(factor * (value - y[label])));
        double complement = others / (1 + others);
        if (others < 1)
        {
            p[label] = 1 / (1 + others);
            lp[label] = -u * LogOnePlus(others);
        }

        double eps = objective.LabelSmoothing;
        int unmasked = y.Count(value => value > double.NegativeInfinity);
        double meanLp = lp.Sum(value => double.IsNegativeInfinity(value) ? 0 : value / y.Length);
        double nll = Times(-(1 - eps), lp[label]) - Times(eps, meanLp);

        double logReference = reference is null ? labelLogProbability ?? 0 : lq[label] / u;
        bool knowsLabel = reference is not null || labelLogProbability is not null;
        double logRatio = !knowsLabel ? 0 : reference is null ? (lp[label] / u) - logReference : (lp[label] - lq[label]) / u;
        bool byModel = reference is not null && others >= 1 && Math.Max(Math.Abs(y[label] - yr[label]), Math.Abs(max - referenceMax))
            < Math.Max(Math.Abs(y[label] - max), Math.Abs(yr[label] - referenceMax));
        if (byModel)
        {
            // Of a label far below both maxima the two log-probabilities leave no digits.
            logRatio = (factor * ((y[label] - yr[label]) - (max - referenceMax))) + (referenceLogSum - logSum);
        }

        double entropy = 0;
        for (int i = 0; i < p.Length; i++)
        {
            entropy -= Times(p[i], lp[i]) / u;
        }

        entropy = entropy < 0 ? 0 : entropy;
        double w = weight ?? objective.Weighting switch
        {
            TokenWeighting.Probability =>
                Math.Pow(p[label], objective.WeightExponent) * Math.Pow(complement, objective.WeightComplementExponent),
            TokenWeighting.ImportanceRatio => Math.Exp(logRatio),
            TokenWeighting.Entropy => Math.Pow(entropy / objective.EntropyScale, objective.WeightExponent),
            _ => 1,
        };
        bool outside = w < objective.WeightMin || w > objective.WeightMax;
        w = !outside ? w : objective.WeightBound == WeightBound.Drop ? 0 : Math.Clamp(w, objective.WeightMin, objective.WeightMax);

        bool forward = objective.KlDirection == KlDirection.Forward;
        bool exact = objective.KlEstimator == KlEstimator.Exact;
        double kl = 0;
        for (int i = 0; exact && i < yr.Length; i++)
        {
            kl += forward ? Times(q[i], lq[i] - lp[i]) : Times(p[i], lp[i] - lq[i]);
        }

        kl = kl < 0 ? 0 : kl;
        double estimatorSlope = 0;
        if (!exact && knowsLabel)
        {
            double d = -logRatio;
            (kl, estimatorSlope) = objective.KlEstimator switch
            {
                KlEstimator.K1 => (-d * u, 1.0),
                KlEstimator.K2 => (d * d / 2 * u, -d),
                _ => (Math.Max(0, Math.Exp(d) - 1 - d) * u, 1 - Math.Exp(d)),
            };
        }

        double[] topKGradient = [];
        if (topK is { } entries)
        {
            (kl, topKGradient) = TopK(forward, p, Array.ConvertAll(lp, value => value / u), entries.Indices, entries.LogProbabilities);
            kl *= u;
        }

        // Reverse: lp - lq - kl, a difference less the mean of the differences. Measured from where the policy has its mass, it keeps its
        // digits even where all are far larger than what is left of them.
        double[] apart = forward || !exact ? [] : Apart(y, yr, p, factor, u);
        double zLoss = objective.ZLossWeight == 0 ? 0 : objective.ZLossWeight * lse * lse;
        double loss = (Times(objective.NllWeight * w, nll) / u) + (Times(objective.KlWeight, kl) / u) + zLoss;

        // The mean of the log-probabilities runs over the unmasked entries, divided by V; without a mask this is -eps/V for each i.
        double share = 1 - eps + (eps * unmasked / y.Length);
        var gradient = new double[y.Length];
        for (int i = 0; i < y.Length; i++)
        {
            double smoothing = double.IsNegativeInfinity(y[i]) ? 0 : eps / y.Length;
            double dz = i != label ? w * ((share * p[i]) - smoothing)
                : smoothing == 0 ? w * ((-(1 - eps) * complement) + ((share - (1 - eps)) * p[i]))
                : w * ((-share * complement) + (eps * (unmasked - 1) / y.Length));
            dz *= objective.NllWeight;
            dz += 2 * objective.ZLossWeight * Times(p[i], lse);
            if (objective.KlWeight > 0 && topK is not null)
            {
                dz += objective.KlWeight * topKGradient[i];
            }
            else if (objective.KlWeight > 0 && !exact)
            {
                dz += objective.KlWeight * estimatorSlope * (i == label ? complement : -p[i]);
            }
            else if (objective.KlWeight > 0)
            {
                dz += objective.KlWeight * (forward ? p[i] - q[i] : Times(p[i], apart[i]) / u);
            }

            gradient[i] = tokenWeight * dz * Slope(objective, policy[i]);
        }

        long predicted = double.IsNaN(lse) ? -1 : Array.IndexOf(policy, policy.Max());
        double squares = p.Sum(value => value * value);
        return new ReferenceRow(
            tokenWeight * loss, lp[label] / u, w, kl / u, lse, referenceLse, entropy, squares, logReference, predicted, gradient);
    }

    /// <summary>y of z = factor*y: x, or tanh(s*x/c) under a softcap.</summary>
    private static double Transform(LossObjective objective, double x) =>
        objective.LogitSoftcap > 0 ? Math.Tanh(objective.LogitScale * x / objective.LogitSoftcap) : x;

    /// <summary>dz/dx = s*(1 - tanh²(s*x/c)), or s without a softcap.</summary>
    private static double Slope(LossObjective objective, double x)
    {
        if (objective.LogitSoftcap == 0)
        {
            return objective.LogitScale;
        }

        double e = Math.Exp(-2 * Math.Abs(objective.LogitScale * x / objective.LogitSoftcap));
        return objective.LogitScale * 4 * e / ((1 + e) * (1 + e));
    }

    /// <summary>The log-probabilities in units of 1/u nats, the largest y, and the logarithm of the sum measured from it.</summary>
    private static (double[] LogProbabilities, double Max, double LogSum) LogSoftmax(double[] y, double factor, double u)
    {
        double max = y.Max();
        if (double.IsNegativeInfinity(max))
        {
            return (Array.ConvertAll(y, _ => double.NaN), max, 0);
        }

        double logSum = Math.Log(y.Sum(value => Math.Exp(factor * (value - max))));
        return (Array.ConvertAll(y, value => (factor * ((u * value) - (u * max))) - (u * logSum)), max, logSum);
    }

    /// <summary>
    /// The divergence over the reference's entries, each by itself, and everything else as one entry, and its gradient with respect to z.
    /// </summary>
    private static (double Kl, double[] Gradient) TopK(bool forward, double[] p, double[] lp, long[] indices, double[] lq)
    {
        double tail = 0;
        for (int i = 0; i < p.Length; i++)
        {
            tail += indices.Contains(i) ? 0 : p[i];
        }

        double referenceTail = TopKTail.ReferenceOf(lq.Sum(Math.Exp), tail);
        double tailRatio = (forward ? referenceTail : tail) == 0 ? 0 : Math.Log(tail / referenceTail);
        double kl = forward ? -Times(referenceTail, tailRatio) : Times(tail, tailRatio);
        for (int k = 0; k < indices.Length; k++)
        {
            double q = Math.Exp(lq[k]);
            long i = indices[k];
            kl += forward ? Times(q, lq[k] - lp[i]) : Times(p[i], lp[i] - lq[k]);
        }

        kl = kl < 0 ? 0 : kl;
        var gradient = new double[p.Length];
        for (int i = 0; i < p.Length; i++)
        {
            int k = Array.IndexOf(indices, i);
            gradient[i] = k < 0
                ? forward ? Times(p[i], 1 - (tail == 0 ? 0 : referenceTail / tail)) : Times(p[i], tailRatio - kl)
                : forward ? p[i] - Math.Exp(lq[k]) : Times(p[i], lp[i] - lq[k] - kl);
        }

        return (kl, gradient);
    }

    /// <summary>lp - lq - KL(p || q), in units of 1/u nats.</summary>
    private static double[] Apart(double[] y, double[] yr, double[] p, double factor, double u)
    {
        if (yr.Length == 0)
        {
            return [];
        }

        int top = Array.IndexOf(y, y.Max());
        var apart = new double[y.Length];
        double mean = 0;
        for (int i = 0; i < y.Length; i++)
        {
            apart[i] = factor * (((u * y[i]) - (u * y[top])) - ((u * yr[i]) - (u * yr[top])));
            mean += Times(p[i], apart[i]);
        }

        return Array.ConvertAll(apart, difference => difference - mean);
    }

    /// <summary>log(1 + x) for x in [0, 1), as exact as x is (Kahan): the logarithm of the rounded sum, corrected for its rounding.</summary>
    private static double LogOnePlus(double x) => 1 + x == 1 ? x : Math.Log(1 + x) * (x / ((1 + x) - 1));

    /// <summary>A product in which a factor of exactly 0 is a term that is switched off: 0*log 0 = 0, and a weight of 0 hides an infinity.</summary>
    private static double Times(double factor, double value) => factor == 0 ? 0 : factor * value;
}
