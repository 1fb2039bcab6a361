using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>What can be wrong about a reference and the caller's weights: the exception names the argument, the place and the value.</summary>
public class ReferenceArgumentTests : TorchTest
{
    private static readonly LossObjective s_k3 = LossObjective.Dft with { KlWeight = 0.1, KlEstimator = KlEstimator.K3 };

    private static readonly LossObjective s_ratio = new() { Weighting = TokenWeighting.ImportanceRatio };

    /// <summary>Labels, weights, a reference's log-probabilities, indices and log-probabilities of entries: all right, until one is spoiled.</summary>
    private sealed record Given
    {
        public Tensor Labels { get; init; } = tensor(new long[] { 4, -100, 0, 6, 1, 2 }).reshape(2, 3);

        public Tensor Weights { get; init; } = tensor(new[] { 1f, 1, 1, 1, 0, 1 }).reshape(2, 3);

        public Tensor Logs { get; set; } = full([2, 3], -1f);

        public Tensor Indices { get; set; } = tensor(new long[] { 3, 0 }).expand(2, 3, 2).clone();

        public Tensor EntryLogs { get; set; } = tensor(new[] { -0.8f, -2f }).expand(2, 3, 2).clone();
    }

    private static readonly Dictionary<string, (Action<Given> Spoil, string[] Says)> s_values = new()
    {
        ["log-probability above 0"] = (g => g.Logs[1, 2] = 0.5f, ["reference.LabelLogProbabilities[1, 2] is 0.5", "at most 0"]),
        ["index too large"] = (g => g.Indices[0, 2, 1] = 7, ["reference.TopK indices[0, 2][1] is 7", "[0, 7)"]),
        ["index negative"] = (g => g.Indices[1, 0, 0] = -1, ["reference.TopK indices[1, 0][0] is -1"]),
        ["index twice"] = (g => g.Indices[1, 0, 0] = 0, ["reference.TopK indices[1, 0]", "0 twice"]),
        ["entry above 0"] = (g => g.EntryLogs[1, 2, 1] = 1.25f, ["reference.TopK log-probabilities[1, 2][1] is 1.25"]),
        ["sum above 1"] = (g => g.EntryLogs[0, 0] = -0.25f, ["reference.TopK log-probabilities[0, 0]", "sum to 1.5"]),
    };

    private static IEnumerable<string> ValueNames => s_values.Keys;

    [Test]
    public void Values([ValueSource(nameof(ValueNames))] string name, [Values] bool linear)
    {
        (Action<Given> spoil, string[] says) = s_values[name];
        var given = new Given();
        Assert.That(Values(Loss(given)).All(double.IsFinite), "all right as it is");
        spoil(given);
        ArgumentException error = Assert.Catch<ArgumentException>(() => Loss(given))!;
        Assert.That(error.ParamName, Is.EqualTo("reference"));
        Assert.That(says.All(text => error.Message.Contains(text, StringComparison.Ordinal)), error.Message);

        Tensor Loss(Given g)
        {
            bool entries = name.StartsWith("index", StringComparison.Ordinal) || name is "entry above 0" or "sum above 1";
            TokenReference reference = entries ? TokenReference.TopK(g.Indices, g.EntryLogs) : TokenReference.LabelLogProbabilities(g.Logs);
            LossObjective objective = entries ? LossObjective.Asft() : s_k3;
            return linear
                ? AsftFunctional.linear_asft_loss(ones(2, 3, 4), ones(7, 4), g.Labels, reference: reference, objective: objective, tokenWeights: g.Weights)
                : AsftFunctional.asft_loss(ones(2, 3, 7), g.Labels, reference, objective, tokenWeights: g.Weights);
        }
    }

    /// <summary>At tokens that count for nothing, nobody looks; and NaN is not refused, but makes its row NaN.</summary>
    [Test]
    public void WhatIsNotLookedAt()
    {
        var given = new Given();
        foreach ((int i, int j) in new[] { (0, 1), (1, 1) })
        {
            given.Logs[i, j] = 3;
            given.Indices[i, j] = 99;
            given.EntryLogs[i, j] = 3;
        }

        given.Logs[1, 2] = float.NaN;
        Assert.That(
            Values(AsftFunctional.asft_loss(
                ones(2, 3, 7), given.Labels, TokenReference.TopK(given.Indices, given.EntryLogs), LossObjective.Asft(), tokenWeights: given.Weights)),
            Has.All.Matches<double>(double.IsFinite));
        double[] losses = Values(AsftFunctional.asft_loss(
            ones(2, 3, 7), given.Labels, TokenReference.LabelLogProbabilities(given.Logs), s_k3, nn.Reduction.None, tokenWeights: given.Weights));
        Assert.That(losses.Select(double.IsNaN), Is.EqualTo(new[] { false, false, false, false, false, true }));
    }

    /// <summary>With shifted labels, the place is that of the label, as the caller indexes it.</summary>
    [Test]
    public void PlacesAreTheCallers()
    {
        var given = new Given();
        given.Logs[1, 0] = 3; // the first is not read
        given.Logs[1, 2] = 2;
        Assert.That(
            () => AsftFunctional.asft_loss(ones(2, 3, 7), given.Labels, TokenReference.LabelLogProbabilities(given.Logs), s_k3, shiftLabels: true),
            Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("LabelLogProbabilities[1, 2] is 2"));
    }

    [Test]
    public void ShapesAndDtypes()
    {
        Tensor labels = new Given().Labels;
        Assert.Multiple(() =>
        {
            Refused("tokenWeights", ["[2, 3]", "[3, 2]"], () => Loss(null, LossObjective.Sft, ones(3, 2)));
            Refused("tokenWeights", ["Int64"], () => Loss(null, LossObjective.Sft, ones([2, 3], ScalarType.Int64)));
            Refused("tokenWeights", ["meta"], () => Loss(null, LossObjective.Sft, ones([2, 3], device: META)));
            Refused("reference", ["LabelLogProbabilities", "[2, 3]", "[6]"], () => Loss(TokenReference.LabelLogProbabilities(zeros(6)), s_k3));
            Refused("reference", ["LabelLogProbabilities", "Int64"], () => Loss(TokenReference.LabelLogProbabilities(labels), s_k3));
            Refused("reference", ["indices", "[2, 3]"], () => Loss(TokenReference.TopK(labels, zeros(2, 3)), LossObjective.Asft()));
            Refused("reference", ["indices", "Float32"], () => Loss(TokenReference.TopK(zeros(2, 3, 2), zeros(2, 3, 2)), LossObjective.Asft()));
            Refused("reference", ["indices", "[2, 3, 0]"], () => Loss(
                TokenReference.TopK(zeros([2, 3, 0], ScalarType.Int64), zeros(2, 3, 0)), LossObjective.Asft()));
            Refused("reference", ["log-probabilities", "[2, 3, 2]", "[2, 3, 4]"], () => Loss(
                TokenReference.TopK(new Given().Indices, zeros(2, 3, 4)), LossObjective.Asft()));
            Refused("reference", ["narrow(-1, 0, 7)"], () => Loss(zeros(2, 3, 8), LossObjective.Asft()));
        });

        Tensor Loss(TokenReference? reference, LossObjective objective, Tensor? weights = null) =>
            AsftFunctional.asft_loss(ones(2, 3, 7), labels, reference, objective, tokenWeights: weights);
    }

    [Test]
    public void WhatTheObjectiveNeeds()
    {
        var given = new Given();
        TokenReference entries = TokenReference.TopK(given.Indices, given.EntryLogs);
        Assert.Multiple(() =>
        {
            Refused("reference", ["KlWeight 0.1", "got null"], () => Loss(null, s_k3));
            Refused("reference", ["Exact", "K1, K2 or K3"], () => Loss(TokenReference.LabelLogProbabilities(given.Logs), LossObjective.Asft()));
            Refused("reference", ["K3", "TopK"], () => Loss(entries, s_k3));
            Refused("reference", ["ImportanceRatio", "TopK"], () => Loss(entries, s_ratio));
        });

        Tensor Loss(TokenReference? reference, LossObjective objective) => AsftFunctional.asft_loss(ones(2, 3, 7), given.Labels, reference, objective);
    }

    [Test]
    public void MadeOfNothing() => Assert.Multiple(() =>
    {
        Refused("logits", [], () => TokenReference.Logits(null!));
        Refused("hidden", [], () => TokenReference.Hidden(null!));
        Refused("bias", ["weight"], () => TokenReference.Hidden(zeros(2, 3), bias: zeros(4)));
        Refused("logProbabilities", [], () => TokenReference.LabelLogProbabilities(null!));
        Refused("indices", [], () => TokenReference.TopK(null!, zeros(3)));
        Assert.That((TokenReference?)(Tensor?)null, Is.Null);
    });

    private static void Refused(string parameter, string[] says, Func<object> call)
    {
        ArgumentException error = Assert.Catch<ArgumentException>(() => call())!;
        Assert.That(error.ParamName, Is.EqualTo(parameter), error.Message);
        Assert.That(says.All(text => error.Message.Contains(text, StringComparison.Ordinal)), error.Message);
    }
}
