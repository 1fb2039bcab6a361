using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>The edges: no rows, nothing to count, a vocabulary of one, infinities and NaN.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class SpecialValueTests(string path) : TorchTest(path)
{
    [Test]
    public void ZeroRows([Values] Reduction reduction, [Values] bool inPlace, [Values] bool shift)
    {
        Tensor logits = empty(0, 3, 7).requires_grad_();
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            Computed(logits), empty([0, 3], ScalarType.Int64), empty(0, 3, 7), reduction: reduction, shiftLabels: shift, inPlace: inPlace);
        Assert.Multiple(() =>
        {
            Assert.That(result.TokenCount, Is.Zero);
            Assert.That(result.TokenKl.shape, Is.EqualTo(new long[] { 0, 3 }));
            Assert.That(result.Loss.shape, Is.EqualTo(reduction == Reduction.None ? new long[] { 0, 3 } : []));
            Assert.That(Values(result.Loss), Is.All.Zero);
        });
        result.Loss.sum().backward();
        Assert.That(Gradient(logits).shape, Is.EqualTo(new long[] { 0, 3, 7 }));
    }

    /// <summary>Ignored rows are not read at all: NaN in them reaches nothing.</summary>
    [Test]
    public void AllRowsIgnored([Values] Reduction reduction, [Values] bool inPlace, [Values(ScalarType.Float32, ScalarType.Float16)] ScalarType type)
    {
        Tensor logits = full([2, 3, 7], double.NaN, type).requires_grad_();
        Tensor labels = full([2, 3], -100L, ScalarType.Int64);
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            Computed(logits), labels, full([2, 3, 7], double.NaN), reduction: reduction, tokenCount: tensor(0), inPlace: inPlace);
        result.Loss.backward([ones_like(result.Loss)]);
        Assert.Multiple(() =>
        {
            Assert.That(result.TokenCount, Is.Zero);
            Assert.That(Values(result.Loss), Is.All.Zero);
            Assert.That(Values(result.TokenLoss), Is.All.Zero);
            Assert.That(Values(result.TokenKl), Is.All.Zero);
            Assert.That(Values(result.TokenLogSumExp), Is.All.Zero);
            Assert.That(Values(result.PredictedToken), Is.All.EqualTo(-1));
            Assert.That(Values(Gradient(logits)), Is.All.Zero);
        });
    }

    [Test]
    public void VocabularyOfOne([Values] bool inPlace, [Values] Reduction reduction)
    {
        Tensor logits = tensor(new[,] { { 3f }, { -2f } }).requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(
            Computed(logits), tensor(new long[] { 0, 0 }), tensor(new[,] { { 1f }, { 5f } }), reduction: reduction, inPlace: inPlace);
        loss.backward([ones_like(loss)]);
        AssertClose(loss, zeros_like(loss), 2e-6, 0, "loss");
        AssertClose(Gradient(logits), zeros(2, 1), 2e-6, 0, "gradient");
    }

    [Test]
    public void NonFiniteRowsStayToThemselves(
        [Values("NaN", "+inf", "-inf")] string kind, [Values] bool inPlace, [Values] Reduction reduction, [Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        Tensor clean = randn(3, 7);
        Tensor reference = randn(3, 7);
        Tensor labels = tensor(new long[] { 1, 2, 3 });
        Tensor logits = clean.clone();
        if (kind == "-inf")
        {
            logits[1] = double.NegativeInfinity; // a whole row of it has no distribution
        }
        else
        {
            logits[1, 4] = kind == "NaN" ? double.NaN : double.PositiveInfinity;
        }

        logits.requires_grad = true;
        clean.requires_grad = true;
        Tensor expected = AsftFunctional.asft_loss(clean, labels, reference, objective, Reduction.None);
        expected.backward([ones_like(expected)]);
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(Computed(logits), labels, reference, objective, reduction, inPlace: inPlace);
        (result.Loss.sum() * (reduction == Reduction.Mean ? 3 : 1)).backward();

        Assert.Multiple(() =>
        {
            Assert.That(Values(result.TokenLoss)[1], Is.NaN);
            Assert.That(Values(result.TokenLoss)[0], Is.EqualTo(Values(expected)[0]));
            Assert.That(Values(result.TokenLoss)[2], Is.EqualTo(Values(expected)[2]));
            Assert.That(Values(Gradient(logits)[1]), Has.Some.NaN);
            if (kind == "NaN")
            {
                Assert.That(Values(result.PredictedToken)[1], Is.EqualTo(-1));
            }

            AssertClose(Gradient(logits)[0], Gradient(clean)[0], 1e-7, 1e-6, "row 0");
            AssertClose(Gradient(logits)[2], Gradient(clean)[2], 1e-7, 1e-6, "row 2");
        });
    }

    [Test]
    public void MaskedEntriesOfBothContributeNothing([Values] bool inPlace, [Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        Tensor few = randn(2, 5).requires_grad_();
        Tensor fewReference = randn(2, 5);
        Tensor masked = cat([few.detach(), full([2, 3], double.NegativeInfinity)], 1).requires_grad_();
        Tensor maskedReference = cat([fewReference, full([2, 3], double.NegativeInfinity)], 1);
        Tensor labels = tensor(new long[] { 1, 4 });
        Tensor expected = AsftFunctional.asft_loss(few, labels, fewReference, objective);
        expected.backward();
        Tensor actual = AsftFunctional.asft_loss(Computed(masked), labels, maskedReference, objective, inPlace: inPlace);
        actual.backward();
        AssertClose(actual, expected, 1e-6, 1e-6, "loss");
        AssertClose(Gradient(masked).narrow(1, 0, 5), Gradient(few), 1e-7, 1e-6, "gradient");
        Assert.That(Values(Gradient(masked).narrow(1, 5, 3)), Is.All.Zero);
    }

    [Test]
    public void MaskedInThePolicyAloneIsAnInfiniteDivergence()
    {
        Tensor logits = tensor(new[,] { { 1, 2, float.NegativeInfinity }, { 1, 2, 3 } });
        Tensor reference = tensor(new[,] { { 1f, 2, 3 }, { 1, 2, 4 } });
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(logits, tensor(new long[] { 0, 1 }), reference, LossObjective.SftKl(1));
        Assert.That(Values(result.TokenKl)[0], Is.EqualTo(double.PositiveInfinity));
        Assert.That(Values(result.TokenKl)[1], Is.Positive.And.LessThan(1));
        Assert.That(Values(result.Loss)[0], Is.EqualTo(double.PositiveInfinity));
    }

    /// <summary>0 times infinity is NaN, but an ignored row is 0 whatever the upstream gradient: a loss scaler that overflowed, say.</summary>
    [Test]
    public void InfiniteUpstreamGradientLeavesIgnoredRowsZero(
        [Values] bool inPlace, [Values] Reduction reduction, [Values(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        Tensor logits = randn(3, 7).to(type).clone().requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(Computed(logits), tensor(new long[] { 1, -100, 3 }), randn(3, 7), reduction: reduction, inPlace: inPlace);
        loss.backward([full_like(loss, double.PositiveInfinity)]);
        Assert.That(Values(Gradient(logits)[1]), Is.All.Zero);
        Assert.That(Values(Gradient(logits)[0]), Has.All.Matches<double>(g => !double.IsFinite(g)));
    }
}
