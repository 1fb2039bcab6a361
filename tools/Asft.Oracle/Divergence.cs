namespace Asft.Oracle;

/// <summary>A Kullback-Leibler divergence of one token, and its gradient with respect to the policy's logits z.</summary>
internal sealed record Divergence(Real Value, IReadOnlyList<Real> Gradient)
{
    /// <summary>None: the value is 0, and so is the gradient.</summary>
    public static Divergence None(int count) => new(Real.Zero, new Real[count]);

    /// <summary>KL(q || p), over the whole vocabulary.</summary>
    public static Divergence Forward(Distribution p, Distribution q) => new(
        q.Sum(i => q.Probabilities[i] * (q.Log(i) - p.Log(i))),
        [.. Enumerable.Range(0, p.Count).Select(i => p.Probabilities[i] - q.Probabilities[i])]);

    /// <summary>KL(p || q), over the whole vocabulary.</summary>
    public static Divergence Reverse(Distribution p, Distribution q)
    {
        Real value = p.Sum(i => p.Probabilities[i] * (p.Log(i) - q.Log(i)));
        return new Divergence(
            value,
            [.. Enumerable.Range(0, p.Count)
                .Select(i => p.IsMasked(i) ? Real.Zero : p.Probabilities[i] * (p.Log(i) - q.Log(i) - value))]);
    }

    /// <summary>An estimate from the label alone; with d = lq[y] - lp[y]: k1 = -d, k2 = d²/2, k3 = e^d - 1 - d.</summary>
    public static Divergence Estimate(string estimator, Distribution p, Real referenceLog, int label)
    {
        Real d = referenceLog - p.Log(label);
        (Real value, Real slope) = estimator switch // slope: the derivative with respect to lp[y]
        {
            "k1" => (-d, Real.One),
            "k2" => (d * d / 2, -d),
            _ => (RealMath.Exp(d) - 1 - d, 1 - RealMath.Exp(d)),
        };
        return new Divergence(
            value, [.. Enumerable.Range(0, p.Count).Select(i => slope * ((i == label ? 1 : 0) - p.Probabilities[i]))]);
    }

    /// <summary>
    /// The divergence of two distributions over the reference's most likely entries, each by itself, and everything else as one entry.
    /// </summary>
    public static Divergence TopK(string direction, Distribution p, IReadOnlyList<int> indices, IReadOnlyList<Real> referenceLogs)
    {
        Real[] q = [.. referenceLogs.Select(RealMath.Exp)];
        Real qTail = Real.Max(Real.Zero, 1 - q.Aggregate(Real.Zero, (a, b) => a + b));
        Real pTail = Real.Max(Real.Zero, 1 - indices.Aggregate(Real.Zero, (sum, i) => sum + p.Probabilities[i]));
        bool forward = direction == "forward";

        // A tail without the mass that its term is weighted with has no term.
        Real tailLog = (forward ? qTail : pTail).IsZero ? Real.Zero : RealMath.Log(pTail) - RealMath.Log(qTail);
        Real value = forward ? -qTail * tailLog : pTail * tailLog;
        for (int k = 0; k < q.Length; k++)
        {
            Real log = p.Log(indices[k]) - referenceLogs[k];
            value += forward ? -q[k] * log : p.Probabilities[indices[k]] * log;
        }

        Dictionary<int, int> place = indices.Select((index, k) => (index, k)).ToDictionary(pair => pair.index, pair => pair.k);
        var gradient = new Real[p.Count];
        for (int i = 0; i < p.Count; i++)
        {
            bool listed = place.TryGetValue(i, out int k);
            Real probability = p.Probabilities[i];
            gradient[i] = (forward, listed) switch
            {
                (true, true) => probability - q[k],
                (true, false) => probability.IsZero ? Real.Zero : probability * (1 - (qTail / pTail)),
                (false, true) => probability * (p.Log(i) - referenceLogs[k] - value),
                (false, false) => probability * (tailLog - value),
            };
        }

        return new Divergence(value, gradient);
    }
}
