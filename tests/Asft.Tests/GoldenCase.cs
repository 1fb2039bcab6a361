using System.Globalization;
using System.Text.Json.Nodes;
using Asft.Kernels;

namespace Asft.Tests;

/// <summary>One case of Golden/*.json: inputs and exact results from a 50-digit oracle that shares no code with the project.</summary>
internal sealed record GoldenCase(
    LossObjective Objective, int Rows, int Vocabulary, double[] Logits, double[] Reference, long[] Labels, GoldenToken?[] Tokens)
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
        return new GoldenCase(
            new LossObjective
            {
                Weighting = Enum.Parse<TokenWeighting>(
                    ((string)objective["weighting"]!).Replace("_", string.Empty, StringComparison.Ordinal), ignoreCase: true),
                WeightExponent = Number(objective["weight_exponent"]!),
                WeightMax = Number(objective["weight_max"]!),
                WeightMin = Number(objective["weight_min"]!),
                KlWeight = Number(objective["kl_weight"]!),
                KlDirection = Enum.Parse<KlDirection>((string)objective["kl_direction"]!, ignoreCase: true),
                IgnoreIndex = (long)objective["ignore_index"]!,
                LabelSmoothing = Number(objective["label_smoothing"]!),
                LogitScale = Number(objective["logit_scale"]!),
                LogitSoftcap = Number(objective["logit_softcap"]!),
                ZLossWeight = Number(objective["z_loss_weight"]!),
            },
            (int)json["shape"]![0]!,
            (int)json["shape"]![1]!,
            Numbers(json["logits"]!),
            Numbers(json["reference_logits"]!),
            [.. json["labels"]!.AsArray().Select(label => (long)label!)],
            [.. json["tokens"]!.AsArray().Select(token => token is null ? null : Token(token))]);
    }

    private static GoldenToken Token(JsonNode token) => new(
        Number(token["lse"]!),
        Number(token["ref_lse"]!),
        Number(token["log_prob"]!),
        Number(token["weight"]!),
        Number(token["kl_forward"]!),
        Number(token["kl_reverse"]!),
        Number(token["token_loss"]!),
        Numbers(token["grad"]!));

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

/// <summary>The exact results of one token.</summary>
internal sealed record GoldenToken(
    double LogSumExp,
    double ReferenceLogSumExp,
    double LogProbability,
    double Weight,
    double KlForward,
    double KlReverse,
    double Loss,
    double[] Gradient);
