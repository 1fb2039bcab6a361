using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>What each parameter means: shifted labels, token counts, metrics, the module.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class FunctionTests(string path) : TorchTest(path)
{
    [Test]
    public void ShiftedLabels([Values] bool inPlace, [Values] Reduction reduction, [Values(ScalarType.Int64, ScalarType.Int32)] ScalarType labelType)
    {
        Tensor labels = tensor(new long[] { 99, 1, -100, 4, -5, 0, 6, 2 }).reshape(2, 4);
        Tensor shifted = tensor(new long[] { 1, -100, 4, -100, 0, 6, 2, -100 }).reshape(2, 4);
        Tensor logits = randn(2, 4, 7).requires_grad_();
        Tensor reference = randn(2, 4, 7);
        Tensor expected = AsftFunctional.asft_loss(logits, shifted, reference, reduction: reduction);
        expected.sum().backward();
        Tensor again = logits.detach().clone().requires_grad_();

        // Transposed twice over, so that the labels are not contiguous.
        Tensor strided = labels.to(labelType).t().contiguous().t();
        Tensor actual = AsftFunctional.asft_loss(Computed(again), strided, reference, reduction: reduction, shiftLabels: true, inPlace: inPlace);
        actual.sum().backward();

        Assert.That(Values(actual), Is.EqualTo(Values(expected)));
        Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(logits))));
    }

    [Test]
    public void ShiftedLabelsOfOtherRanks()
    {
        Tensor one = randn(3, 7);
        Tensor three = randn(2, 1, 1, 7);
        Assert.Multiple(() =>
        {
            Assert.That(
                Values(Sft(one, tensor(new long[] { 9, 1, 2 }), true)), Is.EqualTo(Values(Sft(one, tensor(new long[] { 1, 2, -100 }), false))));
            Assert.That(Values(Sft(three, tensor(new long[] { 9, 9 }).reshape(2, 1, 1), true)), Is.All.Zero, "one position has no next one");
        });

        static Tensor Sft(Tensor logits, Tensor labels, bool shift) =>
            AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft, shiftLabels: shift);
    }

    [Test]
    public void TokenCountIsTheDenominator(
        [Values] bool inPlace, [Values(ScalarType.Int64, ScalarType.Int32, ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16)] ScalarType type)
    {
        Tensor labels = tensor(new long[] { 1, -100, 3 });
        Tensor logits = randn(3, 7, dtype: ScalarType.Float64).requires_grad_();
        Tensor reference = randn(3, 7);
        Tensor sum = AsftFunctional.asft_loss(logits, labels, reference, reduction: Reduction.Sum);
        sum.backward();
        Tensor again = logits.detach().clone().requires_grad_();
        Tensor mean = AsftFunctional.asft_loss(Computed(again), labels, reference, tokenCount: tensor(new double[] { 24 }).to(type), inPlace: inPlace);
        mean.backward();
        AssertClose(mean, sum / 24, 1e-15, 1e-15, "loss");
        AssertClose(Gradient(again), Gradient(logits) / 24, 1e-15, 1e-14, "gradient");
    }

    [Test]
    public void TokenCountConcernsTheMeanAlone([Values(Reduction.None, Reduction.Sum)] Reduction reduction)
    {
        Tensor labels = tensor(new long[] { 1, -100, 3 });
        Tensor logits = randn(3, 7);
        Tensor reference = randn(3, 7);
        Assert.That(
            Values(AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction, tokenCount: tensor(24))),
            Is.EqualTo(Values(AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction))));
    }

    /// <summary>A batch in parts, each divided by the tokens of all, adds up to the batch.</summary>
    [Test]
    public void GradientAccumulation()
    {
        Tensor labels = tensor(new long[] { 1, -100, 3, 4, 5, -100 });
        Tensor logits = randn(6, 7, dtype: ScalarType.Float64).requires_grad_();
        Tensor reference = randn(6, 7, dtype: ScalarType.Float64);
        AsftFunctional.asft_loss(logits, labels, reference).backward();
        Tensor parts = logits.detach().clone().requires_grad_();
        Tensor tokens = labels.ne(-100).sum();
        foreach ((int start, int length) in new[] { (0, 2), (2, 3), (5, 1) })
        {
            AsftFunctional.asft_loss(
                parts.narrow(0, start, length), labels.narrow(0, start, length), reference.narrow(0, start, length), tokenCount: tokens).backward();
        }

        AssertClose(Gradient(parts), Gradient(logits), 1e-15, 1e-14, "gradient");
    }

    [Test]
    [Pairwise]
    public void Metrics(
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16)] ScalarType type,
        [Values] Reduction reduction,
        [Values] bool differentiate,
        [Values] bool inPlace,
        [Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft(0.1) with { KlDirection = direction, LogitScale = 0.5 };
        Tensor labels = tensor(new long[] { 1, -100, 3, 0 }).reshape(2, 2);
        Tensor logits = randn(2, 2, 7, dtype: ScalarType.Float64).to(type).clone();
        Tensor reference = randn(2, 2, 7, dtype: ScalarType.Float64).to(type);
        Tensor z = logits.to(ScalarType.Float64).clone() * 0.5;
        Tensor counts = labels.ne(-100);
        Tensor lp = functional.log_softmax(z, -1);
        Tensor lq = functional.log_softmax(reference.to(ScalarType.Float64) * 0.5, -1);
        Tensor lpy = lp.gather(-1, labels.clamp(0).unsqueeze(-1)).squeeze(-1).where(counts, 0.0);
        Tensor predicted = z.argmax(-1).where(counts, -1L);
        logits.requires_grad = differentiate;

        AsftLossResult result = AsftFunctional.asft_loss_with_metrics(Computed(logits), labels, reference, objective, reduction, inPlace: inPlace);

        AssertLoss(result.TokenLogProbability, lpy, type, "log-probability");
        AssertLoss(result.TokenWeight, lpy.exp().where(counts, 0.0), type, "weight");
        AssertLoss(result.TokenLogSumExp, z.logsumexp(-1).where(counts, 0.0), type, "lse");
        AssertLoss(result.TokenKl, ComposedLoss.Kl(lp, lq, direction).where(counts, 0.0), type, "KL");
        AssertLoss(result.TokenLoss, ComposedLoss.Tokens(z / 0.5, labels, reference.to(ScalarType.Float64), objective), type, "token loss");
        Assert.Multiple(() =>
        {
            Assert.That(result.PredictedToken.dtype, Is.EqualTo(ScalarType.Int64));
            Assert.That(Values(result.PredictedToken), Is.EqualTo(Values(predicted)));
            Assert.That(result.TokenCount, Is.EqualTo(3));
            Assert.That(result.Loss.requires_grad, Is.EqualTo(differentiate));
            Assert.That(result.TokenLoss.requires_grad || result.TokenKl.requires_grad || result.TokenWeight.requires_grad, Is.False);
            Assert.That(Values(result.Loss), Is.EqualTo(Values(
                AsftFunctional.asft_loss(z / 0.5, labels, reference, objective, reduction))).Within(1e-5));
        });

        result.TokenLoss.fill_(3);
        Assert.That(Values(result.Loss), Has.None.EqualTo(3), "the loss has memory of its own");
        result.Dispose();
        Assert.That(result.Loss.IsInvalid && result.TokenKl.IsInvalid && result.PredictedToken.IsInvalid);
    }

    /// <summary>For watching drift: the KL is there though it weighs nothing, and it changes nothing.</summary>
    [Test]
    public void MetricsWatchTheDriftOfAnObjectiveWithoutKl([Values] bool inPlace)
    {
        Tensor labels = tensor(new long[] { 1, -100, 3 });
        Tensor logits = randn(3, 7).requires_grad_();
        Tensor reference = randn(3, 7);
        AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Dft).backward();
        Tensor again = logits.detach().clone().requires_grad_();
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(Computed(again), labels, reference, LossObjective.Dft, inPlace: inPlace);
        result.Loss.backward();
        Assert.That(Values(result.TokenKl)[0], Is.Positive);
        AssertClose(Gradient(again), Gradient(logits), 1e-7, 1e-6, "gradient");
    }

    [Test]
    public void MetricsWithoutAReferenceHaveNoKl()
    {
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(randn(2, 7), tensor(new long[] { 1, 2 }), objective: LossObjective.Dft);
        Assert.That(Values(result.TokenKl), Is.All.Zero);
        Assert.That(Values(result.TokenLoss), Is.All.Positive);
    }

    /// <summary>An objective without use for the reference does not look at it.</summary>
    [Test]
    public void ReferenceIsNotReadWithoutNeed()
    {
        Tensor labels = tensor(new long[] { 1, 2 });
        Tensor logits = randn(2, 7).requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(logits, labels, full([2, 7], double.NaN), LossObjective.Dft);
        loss.backward();
        Assert.That(Values(loss).Concat(Values(Gradient(logits))), Has.None.NaN);
    }

    [Test]
    public void ModuleIsTheFunction([Values] bool shift, [Values] bool inPlace, [Values] Reduction reduction)
    {
        Tensor labels = tensor(new long[] { 1, -100, 3, 0 }).reshape(2, 2);
        Tensor logits = randn(2, 2, 7).requires_grad_();
        Tensor reference = randn(2, 2, 7);
        LossObjective objective = LossObjective.SftKl(0.3);
        AsftFunctional.asft_loss(logits, labels, reference, objective, reduction, shiftLabels: shift).sum().backward();
        Tensor again = logits.detach().clone().requires_grad_();
        using var module = new AsftLoss(objective, reduction, shift, inPlace);
        Tensor computed = Computed(again);
        module.call(computed, labels, reference).sum().backward();
        Assert.Multiple(() =>
        {
            Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(logits))));
            Assert.That(Values(computed), inPlace ? Is.EqualTo(Values(Gradient(again))) : Is.Not.EqualTo(Values(Gradient(again))));
            Assert.That(module.parameters(), Is.Empty);
            Assert.That(new AsftLoss().Objective, Is.EqualTo(LossObjective.Asft()));
        });
    }

    /// <summary>A trainer's loss of the type that <c>CrossEntropyLoss</c> is, exchanged in one place: the same numbers.</summary>
    [Test]
    public void ModuleStandsWhereCrossEntropyLossStood()
    {
        Tensor labels = tensor(new long[] { 1, -100, 3 });
        Tensor logits = randn(3, 7);
        using Loss<Tensor, Tensor, Tensor> theirs = CrossEntropyLoss(reduction: Reduction.Sum);
        using Loss<Tensor, Tensor, Tensor> ours = new AsftLoss(LossObjective.Sft, Reduction.Sum);
        (Tensor Loss, Tensor Gradient) expected = Trained(theirs), actual = Trained(ours);
        Assert.Multiple(() =>
        {
            Assert.That(actual.Loss.item<float>(), Is.EqualTo(expected.Loss.item<float>()).Within(4e-6));
            Assert.That(Values(actual.Gradient), Is.EqualTo(Values(expected.Gradient)).Within(2e-6));
            Assert.That(ours.reduction, Is.EqualTo(theirs.reduction));
        });

        (Tensor Loss, Tensor Gradient) Trained(Loss<Tensor, Tensor, Tensor> criterion)
        {
            Tensor leaf = logits.clone().requires_grad_();
            Tensor loss = criterion.call(leaf, labels);
            loss.backward();
            return (loss, Gradient(leaf));
        }
    }

    [Test]
    public void ModuleWithMetricsIsTheFunction([Values] bool shift, [Values] bool withReference)
    {
        Tensor labels = tensor(new long[] { 1, -100, 3, 0 }).reshape(2, 2);
        Tensor logits = randn(2, 2, 7);
        Tensor? reference = withReference ? randn(2, 2, 7) : null;
        using var module = new AsftLossWithMetrics(LossObjective.Dft, Reduction.Sum, shift);
        using AsftLossResult expected = AsftFunctional.asft_loss_with_metrics(logits, labels, reference, LossObjective.Dft, Reduction.Sum, shiftLabels: shift);
        using AsftLossResult actual = withReference ? module.call(logits, labels, reference) : module.call(logits, labels);
        Assert.Multiple(() =>
        {
            Assert.That(actual.Loss.item<float>(), Is.EqualTo(expected.Loss.item<float>()));
            Assert.That(Values(actual.TokenKl), Is.EqualTo(Values(expected.TokenKl)));
            Assert.That(Values(actual.TokenKl), withReference ? Has.Some.Positive : Is.All.Zero);
            Assert.That(module.Objective, Is.EqualTo(LossObjective.Dft));
            Assert.That((module.reduction, module.ShiftLabels, module.InPlace), Is.EqualTo((Reduction.Sum, shift, false)));
            Assert.That(module.parameters(), Is.Empty);
        });
    }

    [Test]
    public void ModulesTakeATokenCount()
    {
        Tensor labels = tensor(new long[] { 1, 2 });
        Tensor logits = randn(2, 7);
        Tensor count = tensor(8L);
        using var module = new AsftLoss(LossObjective.Sft);
        using var metrics = new AsftLossWithMetrics(LossObjective.Sft);
        using AsftLossResult result = metrics.call(logits, labels, null, count);
        float sum = AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft, reduction: Reduction.Sum).item<float>();
        Assert.That(module.call(logits, labels, null, count).item<float>(), Is.EqualTo(sum / 8).Within(1e-6));
        Assert.That(result.Loss.item<float>(), Is.EqualTo(sum / 8).Within(1e-6));
    }

    [Test]
    public void DefaultObjectiveIsAsft()
    {
        Tensor labels = tensor(new long[] { 1, 2 });
        Tensor logits = randn(2, 7);
        Tensor reference = randn(2, 7);
        Assert.That(
            Values(AsftFunctional.asft_loss(logits, labels, reference)),
            Is.EqualTo(Values(AsftFunctional.asft_loss(logits, labels, reference, LossObjective.Asft(0.05), Reduction.Mean))));
    }

    /// <summary>
    /// Under a loss scale of 65536 a float16 gradient is that of float64, scaled, rounded once: entries that would be nothing in float16
    /// before scaling are there, with all their bits.
    /// </summary>
    [Test]
    public void Float16UnderALossScale([Values] bool inPlace, [Values] Reduction reduction)
    {
        const double LossScale = 65536;
        Tensor labels = tensor(new long[] { 1, 500, -100, 0 });
        Tensor logits = (randn(4, 600, dtype: ScalarType.Float64) * 4).to(ScalarType.Float16).clone();
        Tensor exact = logits.to(ScalarType.Float64).requires_grad_();
        Tensor tokens = ComposedLoss.Tokens(exact, labels, null, LossObjective.Dft);
        (ComposedLoss.Reduce(tokens, labels, LossObjective.Dft, reduction).sum() * LossScale).backward();
        logits.requires_grad = true;
        (AsftFunctional.asft_loss(Computed(logits), labels, objective: LossObjective.Dft, reduction: reduction, inPlace: inPlace).sum() * LossScale).backward();

        double[] expected = Values(Gradient(exact));
        double[] actual = Values(Gradient(logits));
        int rescued = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double ulp = Math.ScaleB(1, Math.Max(-24, Math.ILogB(Math.Max(Math.Abs(expected[i]), 1e-30)) - 10));
            double error = (0.5 * ulp) + (1e-5 * Math.Abs(expected[i]));
            Assert.That(actual[i], Is.EqualTo(expected[i]).Within(error), $"element {i}");
            rescued += (double)(Half)(expected[i] / LossScale) == 0 && actual[i] != 0 ? 1 : 0;
        }

        Assert.That(rescued, Is.GreaterThan(100), "small gradients that unscaled float16 would lose");
    }

    /// <summary>bfloat16 is rounded once too, also when the upstream gradient is no power of two.</summary>
    [Test]
    public void BFloat16IsRoundedOnce([Values(1.0, 0.3, -3.0, 0.125)] double upstream)
    {
        Tensor labels = tensor(new long[] { 1, 500, -100, 0 });
        Tensor logits = (randn(4, 600, dtype: ScalarType.Float64) * 2).to(ScalarType.BFloat16).clone();
        Tensor exact = logits.to(ScalarType.Float64).requires_grad_();
        (ComposedLoss.Reduce(ComposedLoss.Tokens(exact, labels, null, LossObjective.Sft), labels, LossObjective.Sft, Reduction.Mean) * upstream).backward();
        logits.requires_grad = true;
        (AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft) * upstream).backward();
        double[] expected = Values(Gradient(exact));
        double[] actual = Values(Gradient(logits));
        for (int i = 0; i < expected.Length; i++)
        {
            double ulp = Math.ScaleB(1, Math.ILogB(Math.Max(Math.Abs(expected[i]), 1e-30)) - 7);
            Assert.That(actual[i], Is.EqualTo(expected[i]).Within((0.5 * ulp) + (1e-5 * Math.Abs(expected[i]))), $"element {i}");
        }
    }

    [Test]
    public void ResultsDoNotDependOnThreads()
    {
        Tensor labels = arange(64, ScalarType.Int64);
        Tensor logits = randn(64, 300).requires_grad_();
        Tensor reference = randn(64, 300);
        int threads = get_num_threads();
        try
        {
            (double[] Loss, double[] Gradient)[] results = [.. Enumerable.Range(1, 4).Select(count =>
            {
                set_num_threads(count);
                Tensor leaf = logits.detach().clone().requires_grad_();
                Tensor loss = AsftFunctional.asft_loss(leaf, labels, reference);
                loss.backward();
                return (Values(loss), Values(Gradient(leaf)));
            })];
            foreach ((double[] loss, double[] gradient) in results)
            {
                AssertSameBits(loss, results[0].Loss);
                AssertSameBits(gradient, results[0].Gradient);
            }
        }
        finally
        {
            set_num_threads(threads);
        }
    }
}
