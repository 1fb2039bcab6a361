namespace Asft.Oracle;

/// <summary>Everything there is to know about one token, straight from the definition.</summary>
internal sealed record Token(
    Distribution Policy,
    Reference? Reference,
    int Label,
    Real? ReferenceLogProbability,
    Real Weight,
    Real Nll,
    Divergence? Kl,
    Real Loss,
    IReadOnlyList<Real> Gradient)
{
    /// <summary>Computes it.</summary>
    /// <param name="objective">The objective.</param>
    /// <param name="logits">The policy's logits x; null for one masked with -inf.</param>
    /// <param name="reference">What is known of the reference, if there is one.</param>
    /// <param name="label">The label y.</param>
    /// <param name="tokenWeight">The caller's weight u of the token.</param>
    public static Token Evaluate(Objective objective, IReadOnlyList<Real?> logits, Reference? reference, int label, Real tokenWeight)
    {
        var p = new Distribution([.. logits.Select(logit => logit is { } x ? objective.Transform(x) : (Real?)null)]);
        Real eps = objective.LabelSmoothing;
        Real mean = p.Sum(p.Log) / p.Count; // masked entries take no part in it
        Real nll = (-(1 - eps) * p.Log(label)) - (eps * mean);
        Real? referenceLog = reference?.LabelLog(label);
        Real w = objective.Weight(p, referenceLog, label);
        Divergence? kl = reference?.Kl(objective, p, label);
        Divergence klTerm = kl ?? (objective.KlWeight.IsZero
            ? Divergence.None(p.Count)
            : throw new OracleException("The objective has a KL term, and the reference gives none."));
        Real loss = tokenWeight * ((objective.NllWeight * w * nll) + (objective.KlWeight * klTerm.Value)
            + (objective.ZLossWeight * p.LogSumExp * p.LogSumExp));

        // d(sum of the smoothed log-probabilities)/dz_i = -p_i times their weights, which sum to 1 where nothing is masked.
        Real share = 1 - eps + (eps * p.Unmasked / p.Count);
        var gradient = new Real[p.Count];
        for (int i = 0; i < p.Count; i++)
        {
            if (logits[i] is not { } x)
            {
                continue;
            }

            Real probability = p.Probabilities[i];
            Real dNll = (share * probability) - (i == label ? 1 - eps : 0) - (eps / p.Count);
            Real dz = (objective.NllWeight * w * dNll) + (objective.KlWeight * klTerm.Gradient[i])
                + (2 * objective.ZLossWeight * p.LogSumExp * probability);
            gradient[i] = tokenWeight * dz * objective.Slope(x);
        }

        return new Token(p, reference, label, referenceLog, w, nll, kl, loss, gradient);
    }
}
