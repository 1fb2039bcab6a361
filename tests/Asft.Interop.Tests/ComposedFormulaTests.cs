using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>Loss and gradient against the objective composed of torch's own operations, and against finite differences.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class ComposedFormulaTests(string path) : TorchTest(path)
{
    private static IEnumerable<string> Names => Objectives.Names;

    [Test]
    [Pairwise]
    public void LossAndGradient(
        [ValueSource(nameof(Names))] string name,
        [Values] Reduction reduction,
        [Values(ScalarType.Float64, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        LossObjective objective = Objectives.All[name];
        Tensor logits = (randn(2, 3, 19, dtype: ScalarType.Float64) * 3).to(type);
        Tensor reference = (logits.to(ScalarType.Float64) + randn(2, 3, 19, dtype: ScalarType.Float64)).to(type);
        Tensor labels = tensor(new long[] { 0, 18, objective.IgnoreIndex, 7, 7, 1 }).reshape(2, 3);
        Tensor upstream = reduction == Reduction.None ? randn(2, 3, dtype: ScalarType.Float64) : randn([], dtype: ScalarType.Float64);

        Tensor exact = logits.to(ScalarType.Float64).clone().requires_grad_();
        Tensor expected = ComposedLoss.Reduce(
            ComposedLoss.Tokens(exact, labels, reference.to(ScalarType.Float64), objective), labels, objective, reduction);
        logits.requires_grad = true;
        Tensor actual = AsftFunctional.asft_loss(logits, labels, reference, objective, reduction);
        AssertClose(
            actual,
            expected,
            type == ScalarType.Float64 ? 1e-12 : reduction == Reduction.Sum ? 1e-5 : 2e-6,
            type == ScalarType.Float64 ? 1e-12 : 2e-6,
            "loss");

        // Upstream gradients that are no powers of two, rounded to the loss's dtype for both.
        upstream = upstream.to(actual.dtype);
        actual.backward([upstream]);
        expected.backward([upstream.to(ScalarType.Float64)]);
        AssertGradient(Gradient(logits), Gradient(exact), type, 3, "gradient");
    }

    /// <summary>The gradient in float64 against central differences of the loss, the weight held constant as the objective says.</summary>
    [Test]
    public void FiniteDifferences([ValueSource(nameof(Names))] string name)
    {
        LossObjective objective = Objectives.All[name];
        Tensor logits = randn(3, 3, dtype: ScalarType.Float64).requires_grad_();
        Tensor reference = randn(3, 3, dtype: ScalarType.Float64);
        Tensor labels = tensor(new long[] { 2, objective.IgnoreIndex, 1 });
        AsftFunctional.asft_loss(logits, labels, reference, objective, Reduction.Sum).backward();
        double[] gradient = Values(Gradient(logits));

        double[] weight = Values(AsftFunctional.asft_loss_with_metrics(logits, labels, reference, objective).TokenWeight);
        LossObjective rest = objective with { Weighting = TokenWeighting.None, WeightMax = double.PositiveInfinity, WeightMin = 0 };
        LossObjective nll = rest with { KlWeight = 0, ZLossWeight = 0 };
        double Loss(Tensor at)
        {
            double[] all = Values(AsftFunctional.asft_loss(at, labels, reference, rest, Reduction.None));
            double[] weighted = Values(AsftFunctional.asft_loss(at, labels, reference, nll, Reduction.None));
            return all.Zip(weighted, weight).Sum(row => row.First - row.Second + (row.Third * row.Second));
        }

        const double Step = 1e-5;
        using (no_grad())
        {
            for (int i = 0; i < gradient.Length; i++)
            {
                Tensor step = zeros_like(logits);
                step.reshape(-1)[i] = Step;
                double difference = (Loss(logits + step) - Loss(logits - step)) / (2 * Step);
                Assert.That(gradient[i], Is.EqualTo(difference).Within(2e-9), $"logit {i}");
            }
        }
    }

    /// <summary>The promise that makes ASFT's anchor meaningful: no drift, no divergence, and not a rounding error of it.</summary>
    [Test]
    public void KlOfIdenticalLogitsIsExactlyZero([Values] KlDirection direction)
    {
        Tensor logits = randn(5, 300) * 8;
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            logits, arange(5, dtype: ScalarType.Int64), logits, LossObjective.Asft() with { KlDirection = direction });
        Assert.That(Values(result.TokenKl), Is.All.Zero);
    }
}
