using System.Globalization;
using System.Text.Json.Nodes;

namespace Asft.Kernels.Tests;

/// <summary>
/// One case of Golden/*.json: inputs and exact results from a 50-digit oracle (tools/Asft.Oracle) that shares no code with the kernels.
/// <see cref="Reference"/> is null for a case without one, a token for a row that is not read.
/// </summary>
internal sealed record GoldenCase(
    LossObjective Objective,
    int Rows,
    int Vocabulary,
    double[] Logits,
    double[]? Reference,
    long[] Labels,
    GoldenToken?[] Tokens,
    double[]? Weights,
    double[]? LabelLogProbabilities,
    long[]? TopKIndices,
    double[]? TopKLogProbabilities)
{
    private static string Folder => Path.Combine(AppContext.BaseDirectory, "Golden");

    /// <summary>Names of all cases, for NUnit's TestCaseSource.</summary>
    public static IEnumerable<string> Names => Directory
        .EnumerateFiles(Folder, "*.json")
        .Select(file => Path.GetFileNameWithoutExtension(file)!)
        .Order(StringComparer.Ordinal);

    /// <summary>Reads the case of that name.</summary>
    public static GoldenCase Load(string name)
    {
        JsonNode json = JsonNode.Parse(File.ReadAllText(Path.Combine(Folder, name + ".json")))!;
        JsonNode objective = json["objective"]!;
        double[]? weights = json["token_weights"] is { } factors ? Numbers(factors) : null;
        var direction = Enum.Parse<KlDirection>((string)objective["kl_direction"]!, ignoreCase: true);
        return new GoldenCase(
            new LossObjective
            {
                Weighting = Enum.Parse<TokenWeighting>(
                    ((string)objective["weighting"]!).Replace("_", string.Empty, StringComparison.Ordinal), ignoreCase: true),
                WeightExponent = Number(objective["weight_exponent"]!),
                WeightMax = Number(objective["weight_max"]!),
                WeightMin = Number(objective["weight_min"]!),
                KlWeight = Number(objective["kl_weight"]!),
                KlDirection = direction,
                IgnoreIndex = (long)objective["ignore_index"]!,
                LabelSmoothing = Number(objective["label_smoothing"]!),
                LogitScale = Number(objective["logit_scale"]!),
                LogitSoftcap = Number(objective["logit_softcap"]!),
                ZLossWeight = Number(objective["z_loss_weight"]!),
                WeightComplementExponent = Optional("weight_complement_exponent", 0),
                EntropyScale = Optional("entropy_scale", 3),
                NllWeight = Optional("nll_weight", 1),
                WeightBound = Name("weight_bound", WeightBound.Clamp),
                KlEstimator = Name("kl_estimator", KlEstimator.Exact),
            },
            (int)json["shape"]![0]!,
            (int)json["shape"]![1]!,
            Numbers(json["logits"]!),
            json["reference_logits"] is { } reference ? Numbers(reference) : null,
            [.. json["labels"]!.AsArray().Select(label => (long)label!)],
            [.. json["tokens"]!.AsArray().Select((token, row) => token is null || weights?[row] == 0 ? null : Token(token, direction))],
            weights,
            json["reference_label_log_probabilities"] is { } logs ? Numbers(logs) : null,
            json["reference_top_k_indices"] is { } indices ? [.. Numbers(indices).Select(index => (long)index)] : null,
            json["reference_top_k_log_probabilities"] is { } topKLogs ? Numbers(topKLogs) : null);

        double Optional(string name, double otherwise) => objective[name] is { } value ? Number(value) : otherwise;

        T Name<T>(string name, T otherwise)
            where T : struct, Enum => objective[name] is { } value ? Enum.Parse<T>((string)value!, ignoreCase: true) : otherwise;
    }

    /// <summary>Files of the first kind have both directions of the divergence, those of the second the objective's, or null without a reference.</summary>
    private static GoldenToken Token(JsonNode token, KlDirection direction) => new(
        Number(token["lse"]!),
        token["ref_lse"] is { } lse ? Number(lse) : null,
        Number(token["log_prob"]!),
        Number(token["weight"]!),
        (token[direction == KlDirection.Forward ? "kl_forward" : "kl_reverse"] ?? token["kl"]) is { } kl ? Number(kl) : 0,
        Number(token["token_loss"]!),
        Numbers(token["grad"]!),
        token["entropy"] is { } entropy ? Number(entropy) : null,
        token["squared_probability_sum"] is { } squares ? Number(squares) : null,
        token["reference_log_prob"] is { } log ? Number(log) : null);

    /// <summary>A vector, or the rows of a matrix one after the other.</summary>
    private static double[] Numbers(JsonNode json) =>
        [.. json.AsArray().SelectMany(item => item is JsonArray ? Numbers(item) : [Number(item!)])];

    /// <summary>JSON has no infinities; the oracle writes them as strings.</summary>
    private static double Number(JsonNode json) => json.GetValueKind() == System.Text.Json.JsonValueKind.String
        ? (string)json! switch
        {
            "inf" => double.PositiveInfinity,
            "-inf" => double.NegativeInfinity,
            var text => double.Parse(text, CultureInfo.InvariantCulture),
        }
        : (double)json;
}

/// <summary>
/// The exact results of one token. The divergence is the objective's, and 0 without a reference; the others are null where a
/// file does not tell them.
/// </summary>
internal sealed record GoldenToken(
    double LogSumExp,
    double? ReferenceLogSumExp,
    double LogProbability,
    double Weight,
    double Kl,
    double Loss,
    double[] Gradient,
    double? Entropy,
    double? SquaredProbabilitySum,
    double? ReferenceLogProbability);
