using System.Text.Json.Nodes;

namespace Asft.Oracle;

/// <summary>
/// A file with one golden case: inputs, and the results of each token. There are two kinds: the first has a reference in logits and
/// both directions of the KL divergence, the second names its <c>reference_kind</c> and has the divergence that its objective asks for.
/// </summary>
internal static class CaseFile
{
    /// <summary>Whether a case is of the first kind.</summary>
    public static bool IsFirstKind(JsonNode json) => !json.AsObject().ContainsKey("reference_kind");

    /// <summary>The text of a case with its results computed anew from its inputs.</summary>
    /// <param name="text">The text of the case.</param>
    public static string Recompute(string text)
    {
        JsonNode json = JsonNode.Parse(text)!;
        Objective objective = Objective.Read(Required(json, "objective"));
        var tokens = new JsonArray();
        for (int row = 0; row < (int)Required(json, "shape")[0]!; row++)
        {
            long label = (long)Required(json, "labels")[row]!;
            if (label == objective.IgnoreIndex)
            {
                tokens.Add(null);
                continue;
            }

            Real?[] logits = [.. Logits(Required(json, "logits")[row]!)];
            if (label < 0 || label >= logits.Length)
            {
                throw new OracleException($"Label {row} is {label}, neither in [0, {logits.Length}) nor {objective.IgnoreIndex}.");
            }

            Real tokenWeight = json["token_weights"] is { } weights ? Real.FromDouble((double)weights[row]!) : Real.One;
            var token = Token.Evaluate(objective, logits, Reference.Read(json, objective, row), (int)label, tokenWeight);
            tokens.Add(IsFirstKind(json) ? FirstKind(token) : SecondKind(token));
        }

        json["tokens"] = tokens;
        return PythonJson.Write(json);
    }

    /// <summary>A member that a case must have.</summary>
    public static JsonNode Required(JsonNode json, string name) =>
        (json as JsonObject)?[name] ?? throw new OracleException($"There is no '{name}': this is no golden case.");

    /// <summary>A row of logits; null for -inf.</summary>
    public static IEnumerable<Real?> Logits(JsonNode row) => row.AsArray().Select(value =>
        value!.GetValueKind() == System.Text.Json.JsonValueKind.String ? Masked((string)value!) : Real.FromDouble((double)value));

    private static Real? Masked(string value) =>
        value == "-inf" ? null : throw new OracleException($"A logit is '{value}', neither a number nor '-inf'.");

    private static JsonObject FirstKind(Token token)
    {
        Distribution q = ((Reference.Everything)token.Reference!).Distribution;
        return new JsonObject
        {
            ["lse"] = Number(token.Policy.LogSumExp),
            ["ref_lse"] = Number(q.LogSumExp),
            ["log_prob"] = Number(token.Policy.Log(token.Label)),
            ["probability"] = Number(token.Policy.Probabilities[token.Label]),
            ["weight"] = Number(token.Weight),
            ["nll"] = Number(token.Nll),
            ["kl_forward"] = Number(Divergence.Forward(token.Policy, q).Value),
            ["kl_reverse"] = Number(Divergence.Reverse(token.Policy, q).Value),
            ["token_loss"] = Number(token.Loss),
            ["grad"] = Numbers(token.Gradient),
        };
    }

    private static JsonObject SecondKind(Token token) => new()
    {
        ["lse"] = Number(token.Policy.LogSumExp),
        ["log_prob"] = Number(token.Policy.Log(token.Label)),
        ["reference_log_prob"] = Number(token.ReferenceLogProbability),
        ["weight"] = Number(token.Weight),
        ["nll"] = Number(token.Nll),
        ["kl"] = Number(token.Kl?.Value),
        ["entropy"] = Number(token.Policy.Entropy),
        ["squared_probability_sum"] = Number(token.Policy.Sum(i => token.Policy.Probabilities[i] * token.Policy.Probabilities[i])),
        ["token_loss"] = Number(token.Loss),
        ["grad"] = Numbers(token.Gradient),
    };

    private static JsonNode? Number(Real? value) => value?.ToDouble();

    private static JsonArray Numbers(IEnumerable<Real> values) => new([.. values.Select(value => (JsonNode?)value.ToDouble())]);
}
