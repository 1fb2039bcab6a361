using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>
/// References of which little was kept, and the caller's factors, against the same composed of torch's operations in float64: loss and gradient,
/// on logits and on hidden states.
/// </summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class TokenReferenceTests(string path) : TorchTest(path)
{
    private const long Vocabulary = 23;

    private static readonly Dictionary<string, LossObjective> s_objectives = new()
    {
        ["label k1"] = LossObjective.Asft(0.3) with { KlEstimator = KlEstimator.K1 },
        ["label k2"] = LossObjective.SftKl(0.3) with { KlEstimator = KlEstimator.K2, LogitScale = 0.7, LogitSoftcap = 5 },
        ["label k3"] = LossObjective.Dft with { KlWeight = 0.4, KlEstimator = KlEstimator.K3, LabelSmoothing = 0.1 },
        ["label ratio"] = new LossObjective { Weighting = TokenWeighting.ImportanceRatio, WeightMax = 2, WeightBound = WeightBound.Drop },
        ["top-k forward"] = LossObjective.Asft(0.3),
        ["top-k reverse"] = LossObjective.SftKl(0.5) with { KlDirection = KlDirection.Reverse, LogitScale = 1.3, LogitSoftcap = 6 },
        ["top-k distillation"] = LossObjective.SftKl(1) with { NllWeight = 0, ZLossWeight = 0.01 },
        ["logits"] = LossObjective.Asft(0.3),
    };

    private static IEnumerable<string> Names => s_objectives.Keys;

    [Test]
    [Pairwise]
    public void OnLogits(
        [ValueSource(nameof(Names))] string name,
        [Values] Reduction reduction,
        [Values(ScalarType.Float64, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values] bool inPlace)
    {
        LossObjective objective = s_objectives[name];
        Tensor leaf = (randn(2, 4, Vocabulary, dtype: ScalarType.Float64) * 2).to(type).requires_grad_();
        (Tensor labels, Tensor weights, Tensor referenceLogits) = Inputs(type);
        (TokenReference reference, ComposedLoss.Known known) = Reference(name, referenceLogits, labels, type, objective);
        Tensor upstream = (reduction == Reduction.None ? randn(2, 4) : tensor(1f)).to(Wide(type));
        Tensor loss = AsftFunctional.asft_loss(
            Computed(leaf), labels, reference, objective, reduction, shiftLabels: true, inPlace: inPlace, tokenWeights: weights);
        loss.backward([upstream]);

        Tensor exact = leaf.detach().to(ScalarType.Float64).clone().requires_grad_();
        Tensor expected = Composed(exact, labels, name == "logits" ? referenceLogits : null, objective, reduction, known, weights);
        expected.backward([upstream.to(ScalarType.Float64)]);
        AssertClose(loss, expected, type == ScalarType.Float64 ? 1e-12 : 1e-5, type == ScalarType.Float64 ? 1e-11 : 2e-6, "loss");
        AssertGradient(Gradient(leaf), Gradient(exact), type, 4, "gradient", roundings: 2);
        double[] last = Values(Gradient(leaf).narrow(1, 3, 1));
        Assert.That(last, Is.All.Zero, "the last position counts for nothing");
    }

    [Test]
    [Pairwise]
    public void OnHiddenStates([ValueSource(nameof(Names))] string name, [Values] Reduction reduction, [Values] bool weighted)
    {
        LossObjective objective = s_objectives[name];
        Tensor hidden = randn(2, 4, 6, dtype: ScalarType.Float64).requires_grad_();
        Tensor weight = randn(Vocabulary, 6, dtype: ScalarType.Float64).requires_grad_();
        (Tensor labels, Tensor weights, _) = Inputs(ScalarType.Float64);
        Tensor referenceHidden = randn(2, 4, 6, dtype: ScalarType.Float64);
        Tensor referenceLogits = referenceHidden.matmul(weight.detach().t());
        (TokenReference reference, ComposedLoss.Known known) = Reference(name, referenceLogits, labels, ScalarType.Float64, objective);
        Tensor upstream = reduction == Reduction.None ? randn(2, 4, dtype: ScalarType.Float64) : tensor(1.0);
        Tensor loss = AsftFunctional.linear_asft_loss(
            hidden, weight, labels, reference: name == "logits" ? referenceHidden : reference, objective: objective, reduction: reduction,
            shiftLabels: true, tokenWeights: weighted ? weights : null, options: new LinearLossOptions { WorkspaceBytes = 1000 });
        loss.backward([upstream]);
        Tensor[] actual = [Gradient(hidden).clone(), Gradient(weight).clone()];
        hidden.grad = weight.grad = null;
        Tensor expected = Composed(
            hidden.matmul(weight.t()), labels, name == "logits" ? referenceLogits : null, objective, reduction, known, weighted ? weights : null);
        expected.backward([upstream]);
        AssertClose(loss, expected, 1e-12, 1e-11, "loss");
        AssertClose(actual[0], Gradient(hidden), 1e-11, 1e-10, "gradient of the hidden states");
        AssertClose(actual[1], Gradient(weight), 1e-11, 1e-10, "gradient of the weight");
    }

    /// <summary>The gradient of the gradient's norm, against torch's own double differentiation.</summary>
    [Test]
    public void DifferentiatedTwice([ValueSource(nameof(Names))] string name)
    {
        // A weight is a constant in Asft's gradient, and torch does not know that of one that the probabilities are in.
        LossObjective objective = s_objectives[name] with { Weighting = TokenWeighting.None };
        Tensor logits = randn(2, 4, Vocabulary, dtype: ScalarType.Float64).requires_grad_();
        (Tensor labels, Tensor weights, Tensor referenceLogits) = Inputs(ScalarType.Float64);
        (TokenReference reference, ComposedLoss.Known known) = Reference(name, referenceLogits, labels, ScalarType.Float64, objective);
        Twice(AsftFunctional.asft_loss(logits, labels, reference, objective, Reduction.Sum, shiftLabels: true, tokenWeights: weights));
        Tensor actual = Gradient(logits).clone();
        logits.grad = null;
        Twice(Composed(logits, labels, name == "logits" ? referenceLogits : null, objective, Reduction.Sum, known, weights));
        AssertClose(actual, Gradient(logits), 1e-10, 1e-9, "gradient of the gradient");

        void Twice(Tensor loss)
        {
            Tensor gradient = autograd.grad([loss], [logits], retain_graph: true, create_graph: true)[0];
            gradient.square().sum().backward();
        }
    }

    /// <summary>All the entries there are, with the log-probabilities of the logits, are the logits.</summary>
    [Test]
    public void AllEntriesAreTheLogits([Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft(0.7) with { KlDirection = direction };
        Tensor leaf = randn(3, Vocabulary).requires_grad_();
        Tensor referenceLogits = randn(3, Vocabulary);
        Tensor labels = tensor(new long[] { 2, 22, 0 });
        (Tensor logs, Tensor indices) = referenceLogits.log_softmax(-1).topk((int)Vocabulary);
        using AsftLossResult all = AsftFunctional.asft_loss_with_metrics(leaf, labels, TokenReference.TopK(indices, logs), objective);
        all.Loss.backward();
        Tensor actual = Gradient(leaf).clone();
        leaf.grad = null;
        using AsftLossResult full = AsftFunctional.asft_loss_with_metrics(leaf, labels, referenceLogits, objective);
        full.Loss.backward();
        AssertClose(all.TokenKl, full.TokenKl, 2e-5, 1e-5, "KL");
        AssertClose(actual, Gradient(leaf), 1e-5, 1e-4, "gradient");
    }

    /// <summary>Weights of 1 change no bit, a weight of 0 is a token that is not read but counts, and their sum may be the count.</summary>
    [Test]
    public void Weights([Values] bool linear)
    {
        Tensor leaf = randn(4, Vocabulary).requires_grad_();
        Tensor head = eye(Vocabulary);
        Tensor labels = tensor(new long[] { 2, 22, 0, 5 });
        using (no_grad())
        {
            leaf[1].fill_(float.NaN);
        }

        Tensor weights = tensor(new[] { 1f, 0f, -2f, 0.5f });
        Tensor each = Loss(ones(4), Reduction.None);
        AssertClose(Values(Loss(weights, Reduction.None)), [.. Values(each).Zip(Values(weights), (loss, u) => u == 0 ? 0 : u * loss)], 1e-6, 1e-6, "losses");
        Tensor mean = Loss(weights, Reduction.Mean);
        Assert.That(Values(mean)[0], Is.EqualTo(Values(Loss(weights, Reduction.None)).Sum() / 4).Within(1e-6), "a token of weight 0 counts in a mean");
        mean.backward();
        Assert.That(Values(Gradient(leaf)[1]), Is.All.Zero, "what is not read has no gradient");
        Tensor masked = Loss(tensor(new[] { 1f, 0f, 1f, 1f }), Reduction.Mean, tensor(3f));
        Assert.That(Values(masked)[0], Is.EqualTo((Values(each)[0] + Values(each)[2] + Values(each)[3]) / 3).Within(1e-6));

        Tensor Loss(Tensor tokenWeights, Reduction reduction, Tensor? tokenCount = null) => linear
            ? AsftFunctional.linear_asft_loss(
                leaf.nan_to_num(), head, labels, objective: LossObjective.Dft, reduction: reduction, tokenCount: tokenCount, tokenWeights: tokenWeights)
            : AsftFunctional.asft_loss(
                leaf, labels, objective: LossObjective.Dft, reduction: reduction, tokenCount: tokenCount, tokenWeights: tokenWeights);
    }

    [Test]
    public void ANanWeightIsOneNanRow()
    {
        Tensor leaf = randn(3, Vocabulary).requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(
            leaf, tensor(new long[] { 2, 22, 0 }), objective: LossObjective.Sft, reduction: Reduction.None, tokenWeights: tensor(new[] { 1f, float.NaN, 2f }));
        loss.backward([ones(3)]);
        Assert.That(Values(loss).Select(double.IsNaN), Is.EqualTo(new[] { false, true, false }));
        Assert.That(Values(Gradient(leaf).sum(-1)).Select(double.IsNaN), Is.EqualTo(new[] { false, true, false }));
    }

    private static ScalarType Wide(ScalarType type) => type == ScalarType.Float64 ? type : ScalarType.Float32;

    /// <summary>Labels, of which some are ignored; weights, of which one is 0; and reference logits in float64.</summary>
    private static (Tensor Labels, Tensor Weights, Tensor ReferenceLogits) Inputs(ScalarType type)
    {
        Tensor labels = tensor(new long[] { 3, 0, 22, -100, 7, 7, 1, 12 }).reshape(2, 4);
        Tensor weights = tensor(new[] { 5, 1.0, -0.5, 2, 9, 0, 0.25, 1.5 }).reshape(2, 4).to(type);
        return (labels, weights, randn(2, 4, Vocabulary, dtype: ScalarType.Float64) * 2);
    }

    /// <summary>A reference of the kind that a name begins with, and the same for the composed loss, shifted.</summary>
    private static (TokenReference Reference, ComposedLoss.Known Known) Reference(
        string name, Tensor logits, Tensor labels, ScalarType type, LossObjective objective)
    {
        Tensor scaled = objective.LogitScale * logits;
        Tensor logs = (objective.LogitSoftcap > 0 ? (scaled / objective.LogitSoftcap).tanh() * objective.LogitSoftcap : scaled).log_softmax(-1);
        if (name == "logits")
        {
            return (logits, new ComposedLoss.Known());
        }

        if (name.StartsWith("label", StringComparison.Ordinal))
        {
            Tensor kept = logs.gather(-1, labels.clamp(min: 0).unsqueeze(-1)).squeeze(-1).to(type);
            return (TokenReference.LabelLogProbabilities(kept), new ComposedLoss.Known { LabelLogProbabilities = Shift(kept.to(ScalarType.Float64)) });
        }

        (Tensor values, Tensor indices) = logs.topk(5, -1);
        values = values.to(type);
        return (
            TokenReference.TopK(indices.to(ScalarType.Int32), values),
            new ComposedLoss.Known { Indices = Shift(indices, arange(5, ScalarType.Int64)), LogProbabilities = Shift(values.to(ScalarType.Float64), full(5, -2.0)) });
    }

    private static Tensor Composed(
        Tensor logits, Tensor labels, Tensor? reference, LossObjective objective, Reduction reduction, ComposedLoss.Known known, Tensor? weights)
    {
        Tensor effective = ComposedLoss.Shift(labels, objective.IgnoreIndex);
        Tensor tokens = ComposedLoss.Tokens(
            logits, effective, reference, objective, known with { TokenWeights = weights is null ? null : Shift(weights.to(ScalarType.Float64)) });
        return ComposedLoss.Reduce(tokens, effective, objective, reduction);
    }

    /// <summary>What belongs to label t+1, at t.</summary>
    private static Tensor Shift(Tensor perLabel, Tensor? last = null)
    {
        Tensor end = zeros_like(perLabel.narrow(1, 0, 1));
        return cat([perLabel.narrow(1, 1, perLabel.size(1) - 1), last is null ? end : end + last], 1);
    }
}
