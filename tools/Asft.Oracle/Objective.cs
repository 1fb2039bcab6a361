using System.Text.Json.Nodes;

namespace Asft.Oracle;

/// <summary>What a case asks for; the names are those of its file.</summary>
internal sealed record Objective(
    string Weighting,
    Real WeightExponent,
    Real WeightComplementExponent,
    Real EntropyScale,
    Real WeightMin,
    Real WeightMax,
    string WeightBound,
    Real NllWeight,
    Real KlWeight,
    string KlDirection,
    string KlEstimator,
    long IgnoreIndex,
    Real LabelSmoothing,
    Real LogitScale,
    Real LogitSoftcap,
    Real ZLossWeight)
{
    /// <summary>Reads it. Files of the first kind lack the later properties, which then do nothing.</summary>
    public static Objective Read(JsonNode json)
    {
        return new Objective(
            Name("weighting", "none", "probability", "importance_ratio", "entropy"),
            Number("weight_exponent"),
            Number("weight_complement_exponent", 0),
            Number("entropy_scale", 3),
            Number("weight_min"),
            Number("weight_max"),
            Name("weight_bound", "clamp", "drop"),
            Number("nll_weight", 1),
            Number("kl_weight"),
            Name("kl_direction", "forward", "reverse"),
            Name("kl_estimator", "exact", "k1", "k2", "k3"),
            (long)CaseFile.Required(json, "ignore_index"),
            Number("label_smoothing"),
            Number("logit_scale"),
            Number("logit_softcap"),
            Number("z_loss_weight"));

        Real Number(string name, int? absent = null) =>
            json[name] is null && absent is { } value ? value : Real.FromDouble((double)CaseFile.Required(json, name));

        string Name(string name, params string[] known)
        {
            string value = (string?)json[name] ?? known[0];
            return known.Contains(value) ? value : throw new OracleException($"{name} is '{value}', none of {string.Join(", ", known)}.");
        }
    }

    /// <summary>z = s*x, or c*tanh(s*x/c) under a softcap c.</summary>
    public Real Transform(Real x) =>
        LogitSoftcap.IsZero ? LogitScale * x : LogitSoftcap * RealMath.Tanh(LogitScale * x / LogitSoftcap);

    /// <summary>dz/dx.</summary>
    public Real Slope(Real x)
    {
        if (LogitSoftcap.IsZero)
        {
            return LogitScale;
        }

        Real tanh = RealMath.Tanh(LogitScale * x / LogitSoftcap);
        return LogitScale * (1 - (tanh * tanh));
    }

    /// <summary>The weight w of a token's negative log-likelihood.</summary>
    /// <param name="policy">The policy's distribution.</param>
    /// <param name="referenceLog">lq[y], or null where the reference does not tell.</param>
    /// <param name="label">y.</param>
    public Real Weight(Distribution policy, Real? referenceLog, int label)
    {
        Real p = policy.Probabilities[label];
        Real weight = Weighting switch
        {
            "probability" => RealMath.Pow(p, WeightExponent) * RealMath.Pow(1 - p, WeightComplementExponent),
            "importance_ratio" => RealMath.Exp(policy.Log(label) - (referenceLog ?? throw new OracleException("A ratio needs the reference's label."))),
            "entropy" => RealMath.Pow(policy.Entropy / EntropyScale, WeightExponent),
            _ => Real.One,
        };
        if (WeightBound == "drop")
        {
            return weight < WeightMin || weight > WeightMax ? Real.Zero : weight;
        }

        return Real.Min(Real.Max(weight, WeightMin), WeightMax);
    }
}
