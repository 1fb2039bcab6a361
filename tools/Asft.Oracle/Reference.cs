using System.Text.Json.Nodes;

namespace Asft.Oracle;

/// <summary>What is known of the reference at one token.</summary>
internal abstract record Reference
{
    /// <summary>Reads a row's; null where a case has no reference.</summary>
    /// <param name="json">The case.</param>
    /// <param name="objective">Its objective, which transforms logits.</param>
    /// <param name="row">Which row.</param>
    public static Reference? Read(JsonNode json, Objective objective, int row) => Kind(json) switch
    {
        null => null,
        "logits" => new Everything(new Distribution(
            [.. CaseFile.Logits(CaseFile.Required(json, "reference_logits")[row]!).Select(logit => logit is { } r ? objective.Transform(r) : (Real?)null)])),
        "label" => new Label(Real.FromDouble((double)CaseFile.Required(json, "reference_label_log_probabilities")[row]!)),
        "top_k" => new TopK(
            [.. CaseFile.Required(json, "reference_top_k_indices")[row]!.AsArray().Select(index => (int)index!)],
            [.. CaseFile.Required(json, "reference_top_k_log_probabilities")[row]!.AsArray().Select(log => Real.FromDouble((double)log!))]),
        var kind => throw new OracleException($"reference_kind is '{kind}', none of logits, label, top_k."),
    };

    /// <summary>lq[y]; null where this reference does not tell.</summary>
    public abstract Real? LabelLog(int label);

    /// <summary>The divergence between policy and reference that an objective asks for; null where this reference gives none.</summary>
    public abstract Divergence? Kl(Objective objective, Distribution policy, int label);

    /// <summary>Cases of the first kind do not name their reference: it is logits.</summary>
    private static string? Kind(JsonNode json) => CaseFile.IsFirstKind(json) ? "logits" : (string?)json["reference_kind"];

    /// <summary>All of its logits.</summary>
    public sealed record Everything(Distribution Distribution) : Reference
    {
        public override Real? LabelLog(int label) => Distribution.Log(label);

        public override Divergence Kl(Objective objective, Distribution policy, int label) => (objective.KlEstimator, objective.KlDirection) switch
        {
            ("exact", "forward") => Divergence.Forward(policy, Distribution),
            ("exact", _) => Divergence.Reverse(policy, Distribution),
            _ => Divergence.Estimate(objective.KlEstimator, policy, Distribution.Log(label), label),
        };
    }

    /// <summary>Its log-probability of the label.</summary>
    public sealed record Label(Real LogProbability) : Reference
    {
        public override Real? LabelLog(int label) => LogProbability;

        public override Divergence? Kl(Objective objective, Distribution policy, int label) =>
            objective.KlEstimator == "exact" ? null : Divergence.Estimate(objective.KlEstimator, policy, LogProbability, label);
    }

    /// <summary>Its most likely entries.</summary>
    public sealed record TopK(IReadOnlyList<int> Indices, IReadOnlyList<Real> LogProbabilities) : Reference
    {
        public override Real? LabelLog(int label) => null;

        public override Divergence Kl(Objective objective, Distribution policy, int label) =>
            Divergence.TopK(objective.KlDirection, policy, Indices, LogProbabilities);
    }
}
