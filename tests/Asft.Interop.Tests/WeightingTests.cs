using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>Weightings that are not built in, as functions of the statistics, and what is refused of them.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class WeightingTests(string path) : TorchTest(path)
{
    private const long Vocabulary = 19;

    private static readonly Dictionary<string, Func<TokenStatistics, Tensor>> s_weightings = new()
    {
        // DEFT (arXiv 2602.11424): p to the power of sum p^2, which is e to the minus the Renyi entropy of order 2.
        ["deft"] = static s => (s.LogProbability * s.SquaredProbabilitySum).exp(),

        // InfoSFT (arXiv 2605.14967): the reference's probability times how much the policy has to learn of it.
        ["infosft"] = static s => s.ReferenceLogProbability!.exp()
            * (3 - (s.ReferenceLogProbability - (1 - s.ReferenceLogProbability.exp()).log())).clamp(min: 0),

        // TALR (arXiv 2509.20758): less for what is unlikely, but never nothing.
        ["talr"] = static s => (s.LogProbability / s.LogProbability.neg().median()).exp().clamp(min: 0.01),

        // ProFit (arXiv 2601.09195): nothing for what is unlikely.
        ["profit"] = static s => s.LogProbability.exp().gt(0.05).to(s.LogProbability.dtype),
        ["entropy and kl"] = static s => s.Entropy / (1 + s.Kl!) + s.LogSumExp.abs(),
    };

    private static IEnumerable<string> Names => s_weightings.Keys;

    [Test]
    [Pairwise]
    public void OnLogits(
        [ValueSource(nameof(Names))] string name,
        [Values] Reduction reduction,
        [Values(ScalarType.Float64, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values] bool inPlace)
    {
        Tensor leaf = (randn(2, 4, Vocabulary, dtype: ScalarType.Float64) * 2).to(type).requires_grad_();
        Tensor reference = randn(2, 4, Vocabulary, dtype: ScalarType.Float64).to(type);
        Tensor labels = tensor(new long[] { 3, 0, 18, -100, 7, 7, 1, 12 }).reshape(2, 4);
        LossObjective objective = LossObjective.SftKl(0.2) with { WeightMax = 2.5 };
        Tensor upstream = (reduction == Reduction.None ? randn(2, 4) : tensor(1f)).to(type == ScalarType.Float64 ? type : ScalarType.Float32);
        int calls = 0;
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            Computed(leaf), labels, reference, objective, reduction, inPlace: inPlace, weighting: statistics =>
            {
                calls++;
                return s_weightings[name](statistics);
            });
        result.Loss.backward([upstream]);
        Assert.That(calls, Is.EqualTo(1));

        Tensor exact = leaf.detach().to(ScalarType.Float64).clone().requires_grad_();
        Tensor weights = s_weightings[name](Statistics(exact.detach(), reference.to(ScalarType.Float64), labels));
        Tensor tokens = ComposedLoss.Tokens(
            exact, labels, reference.to(ScalarType.Float64), objective, new ComposedLoss.Known { Weights = weights });
        Tensor expected = ComposedLoss.Reduce(tokens, labels, objective, reduction);
        expected.backward([upstream.to(ScalarType.Float64)]);
        bool wide = type == ScalarType.Float64;
        AssertClose(result.Loss, expected, wide ? 1e-11 : 2e-5, wide ? 1e-11 : 5e-6, "loss");
        AssertClose(
            result.TokenWeight, weights.clamp(max: 2.5).masked_fill(labels.eq(-100), 0), wide ? 1e-11 : 5e-6, wide ? 1e-11 : 5e-6, "weights, within bounds");
        AssertGradient(Gradient(leaf), Gradient(exact), type, 4, "gradient", roundings: 2);
    }

    [Test]
    [Pairwise]
    public void OnHiddenStates([ValueSource(nameof(Names))] string name, [Values] Reduction reduction, [Values] bool gradient)
    {
        Tensor hidden = randn(2, 4, 6, dtype: ScalarType.Float64).requires_grad_(gradient);
        Tensor weight = randn(Vocabulary, 6, dtype: ScalarType.Float64).requires_grad_(gradient);
        Tensor reference = randn(2, 4, 6, dtype: ScalarType.Float64);
        Tensor labels = tensor(new long[] { 3, 0, 18, -100, 7, 7, 1, 12 }).reshape(2, 4);
        Tensor tokenWeights = tensor(new[] { 1.0, 0.5, -1, 3, 2, 1, 1, 1 }).reshape(2, 4);
        LossObjective objective = LossObjective.SftKl(0.2) with { WeightMax = 2.5 };
        Tensor upstream = reduction == Reduction.None ? randn(2, 4, dtype: ScalarType.Float64) : tensor(1.0);
        Tensor actual = AsftFunctional.linear_asft_loss(
            hidden, weight, labels, reference: reference, objective: objective, reduction: reduction, tokenWeights: tokenWeights,
            weighting: s_weightings[name], options: new LinearLossOptions { WorkspaceBytes = 1000 });
        Tensor expected = AsftFunctional.asft_loss(
            hidden.matmul(weight.t()), labels, reference.matmul(weight.detach().t()), objective, reduction, tokenWeights: tokenWeights,
            weighting: s_weightings[name]);
        AssertClose(actual, expected, 1e-11, 1e-10, "loss");
        if (!gradient)
        {
            return;
        }

        actual.backward([upstream]);
        Tensor[] gradients = [Gradient(hidden).clone(), Gradient(weight).clone()];
        hidden.grad = weight.grad = null;
        expected.backward([upstream]);
        AssertClose(gradients[0], Gradient(hidden), 1e-11, 1e-10, "gradient of the hidden states");
        AssertClose(gradients[1], Gradient(weight), 1e-11, 1e-10, "gradient of the weight");
    }

    /// <summary>A second backward pass, and one with a graph, have the same weights, and do not ask for them.</summary>
    [Test]
    public void AgainAndTwice([Values] bool createGraph)
    {
        Tensor leaf = randn(3, Vocabulary).requires_grad_();
        int calls = 0;
        Tensor loss = AsftFunctional.asft_loss(leaf, tensor(new long[] { 2, 18, 0 }), objective: LossObjective.Sft, weighting: statistics =>
        {
            calls++;
            return statistics.Entropy;
        });
        loss.backward(retain_graph: true);
        Tensor first = Gradient(leaf).clone();
        leaf.grad = null;
        loss.backward(retain_graph: true, create_graph: createGraph);
        AssertClose(Gradient(leaf).detach(), first, 1e-6, 1e-5, "gradient");
        Assert.That(calls, Is.EqualTo(1));
    }

    /// <summary>What there is to know follows from the reference, and the statistics are what they say.</summary>
    [Test]
    public void StatisticsFollowFromTheReference()
    {
        Tensor logits = randn(2, Vocabulary, dtype: ScalarType.Float64);
        Tensor labels = tensor(new long[] { 2, 18 });
        Tensor lq = randn(2, Vocabulary, dtype: ScalarType.Float64).log_softmax(-1);
        (Tensor logs, Tensor indices) = lq.topk(3);
        LossObjective k3 = LossObjective.Sft with { KlEstimator = KlEstimator.K3 };
        Assert.Multiple(() =>
        {
            Check(null, LossObjective.Sft, label: false, kl: false);
            Check(lq, LossObjective.Sft, label: true, kl: true);
            Check(TokenReference.Logits(lq), k3, label: true, kl: true);
            Check(TokenReference.LabelLogProbabilities(lq.select(1, 0)), LossObjective.Sft, label: true, kl: false);
            Check(TokenReference.LabelLogProbabilities(lq.select(1, 0)), k3, label: true, kl: true);
            Check(TokenReference.TopK(indices, logs), LossObjective.Sft, label: false, kl: true);
            Check(TokenReference.TopK(indices, logs), k3, label: false, kl: false);
        });

        void Check(TokenReference? reference, LossObjective objective, bool label, bool kl) => AsftFunctional.asft_loss(
            logits, labels, reference, objective, weighting: statistics =>
            {
                Tensor p = logits.softmax(-1);
                AssertClose(statistics.Entropy, -(p * p.log()).sum(-1), 1e-12, 1e-12, "entropy");
                AssertClose(statistics.SquaredProbabilitySum, p.square().sum(-1), 1e-12, 1e-12, "sum of squares");
                Assert.That((statistics.ReferenceLogProbability is not null, statistics.Kl is not null), Is.EqualTo((label, kl)), $"{reference}");
                return statistics.Entropy;
            });
    }

    [Test]
    public void WhatIsRefused([Values] bool linear)
    {
        Tensor leaf = randn(3, Vocabulary).requires_grad_();
        Tensor logits = Computed(leaf);
        double[] before = Values(logits);
        Assert.Multiple(() =>
        {
            Refused("null", _ => null!);
            Refused("[2]", s => s.Entropy.narrow(0, 0, 2));
            Refused("Int64", s => s.Entropy.to(ScalarType.Int64));
            Refused("requires grad", _ => leaf.select(1, 0).sum().detach().expand(3).clone().requires_grad_());
            Refused("disposed", s =>
            {
                Tensor gone = s.Entropy.clone();
                gone.Dispose();
                return gone;
            });
        });
        Assert.That(() => Loss(_ => throw new InvalidTimeZoneException("mine")), Throws.TypeOf<InvalidTimeZoneException>());
        Assert.That(Values(logits), Is.EqualTo(before), "nothing was overwritten");

        void Refused(string says, Func<TokenStatistics, Tensor> weighting) => Assert.That(
            () => Loss(weighting),
            Throws.ArgumentException.With.Property(nameof(ArgumentException.ParamName)).EqualTo("weighting").And.Message.Contains(says));

        Tensor Loss(Func<TokenStatistics, Tensor> weighting)
        {
            Tensor labels = tensor(new long[] { 2, 18, 0 });
            return linear
                ? AsftFunctional.linear_asft_loss(logits, eye(Vocabulary), labels, objective: LossObjective.Sft, weighting: weighting)
                : AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft, inPlace: true, weighting: weighting);
        }
    }

    /// <summary>The statistics, from their definitions.</summary>
    private static TokenStatistics Statistics(Tensor logits, Tensor reference, Tensor labels)
    {
        Tensor counts = labels.ne(-100);
        Tensor label = labels.clamp(min: 0).unsqueeze(-1);
        Tensor lp = logits.log_softmax(-1);
        Tensor lq = reference.log_softmax(-1);
        Tensor p = lp.exp();
        return new TokenStatistics(
            Counted(lp.gather(-1, label).squeeze(-1)),
            Counted(logits.logsumexp(-1)),
            Counted(lq.gather(-1, label).squeeze(-1)),
            Counted(ComposedLoss.Kl(lp, lq, KlDirection.Forward)),
            Counted(-(p * lp).sum(-1)),
            Counted(p.square().sum(-1)));

        Tensor Counted(Tensor values) => values.where(counts, 0.0);
    }
}
