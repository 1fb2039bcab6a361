using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>The linear loss against products and loss composed in float64.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class LinearLossTests(string path) : LinearTest(path)
{
    /// <summary>A few rows of the small vocabulary at a time, so that every case has several blocks.</summary>
    private static readonly LinearLossOptions s_fewRows = new() { WorkspaceBytes = 2000 };

    [Test]
    [Pairwise]
    public void EqualsComposed(
        [ValueSource(typeof(Objectives), nameof(Objectives.Names))] string name,
        [Values] Reduction reduction,
        [Values(1.0, -0.375, 0.0)] double factor,
        [Values] bool ownHead)
    {
        LossObjective objective = Objectives.All[name];
        LinearCase inputs = new LinearCase([5, 7], referenceType: ownHead ? ScalarType.Float32 : null).Ignore(0.3, objective.IgnoreIndex);
        Tensor upstream = reduction == Reduction.None ? randn(5, 7) * factor : tensor((float)factor);
        Tensor loss = inputs.Loss(objective, reduction, options: s_fewRows);
        loss.backward([upstream]);
        (Tensor exact, Tensor[] gradients) = inputs.Exact(objective, reduction, upstream);
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float32, name);
    }

    [Test]
    [Pairwise]
    public void EveryStorageType(
        [Values(ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type,
        [Values(null, ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16)] ScalarType? referenceType,
        [Values(Reduction.Mean, Reduction.None)] Reduction reduction,
        [Values] bool bias)
    {
        LossObjective objective = LossObjective.Asft(0.4);
        LinearCase inputs = new LinearCase([23], type, referenceType, bias).Ignore(0.2);
        bool wide = type == ScalarType.Float64;
        Tensor upstream = (reduction == Reduction.None ? randn(23) : tensor(0.3f)).to(wide ? ScalarType.Float64 : ScalarType.Float32);
        Tensor loss = inputs.Loss(objective, reduction, options: s_fewRows);
        loss.backward([upstream]);
        (Tensor exact, Tensor[] gradients) = inputs.Exact(objective, reduction, upstream);

        // A float32 reference of a float64 policy computes its logits in float32.
        bool exactReference = referenceType is null or ScalarType.Float64;
        Assert.That(loss.dtype, Is.EqualTo(wide ? ScalarType.Float64 : ScalarType.Float32));
        AssertNear(loss, exact, wide && exactReference ? 1e-13 : 1e-6, "loss");
        Tensor[] actual = inputs.TakeGradients();
        if (wide && !exactReference)
        {
            actual = [.. actual.Select(gradient => gradient.to(type = ScalarType.Float32))];
        }

        AssertGradients(actual, gradients, type, "gradients");
    }

    /// <summary>A cached reference in bfloat16, with the policy's float32 head.</summary>
    [Test]
    public void ReferenceStatesOfAnotherTypeUseThePolicysHead([Values(ScalarType.BFloat16, ScalarType.Float64)] ScalarType type)
    {
        var inputs = new LinearCase([9]);
        inputs.ReferenceHidden = inputs.ReferenceHidden!.to(type).requires_grad_();
        Tensor loss = inputs.Loss();
        loss.backward();
        (Tensor exact, Tensor[] gradients) = inputs.Exact(LossObjective.Asft(), Reduction.Mean, tensor(1f));
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float32, "gradients");
        Assert.That(inputs.ReferenceHidden.grad is null, "the reference is a constant");
    }

    [Test]
    public void EveryShape([Values("", "1", "6", "3,4", "2,1,3", "0", "2,0")] string text, [Values] bool shift, [Values] Reduction reduction)
    {
        long[] shape = text.Length == 0 ? [] : [.. text.Split(',').Select(long.Parse)];
        if (shift && shape.Length == 0)
        {
            Assert.Throws<ArgumentException>(() => new LinearCase(shape).Loss(shiftLabels: true));
            return;
        }

        LinearCase inputs = new LinearCase(shape).Ignore(0.2);
        Tensor loss = inputs.Loss(reduction: reduction, shiftLabels: shift, options: s_fewRows);
        Tensor upstream = ones_like(loss);
        loss.backward([upstream]);
        (Tensor exact, Tensor[] gradients) = inputs.Exact(LossObjective.Asft(), reduction, upstream, shift);
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float32, text);
    }

    [Test]
    public void EveryStride([Values] bool transposedWeight, [Values] bool sparseWeight, [Values] bool int32Labels)
    {
        var inputs = new LinearCase([4, 5]);
        inputs.Hidden = inputs.Hidden.detach().permute(1, 0, 2).contiguous().permute(1, 0, 2).requires_grad_();
        inputs.ReferenceHidden = inputs.ReferenceHidden!.permute(2, 0, 1).contiguous().permute(1, 2, 0);
        Tensor weight = inputs.Weight.detach();
        if (transposedWeight)
        {
            weight = weight.t().contiguous().t();
        }

        if (sparseWeight)
        {
            Tensor wide = zeros(2 * LinearCase.Vocabulary, 2 * LinearCase.Width);
            Tensor view = wide.as_strided(weight.shape, [4 * LinearCase.Width, 2], 0);
            view.copy_(weight);
            weight = view;
        }

        inputs.Weight = weight.requires_grad_();
        if (int32Labels)
        {
            inputs.Labels = inputs.Labels.to(ScalarType.Int32);
        }

        Tensor loss = inputs.Loss(options: s_fewRows);
        loss.backward();
        inputs.Labels = inputs.Labels.to(ScalarType.Int64);
        (Tensor exact, Tensor[] gradients) = inputs.Exact(LossObjective.Asft(), Reduction.Mean, tensor(1f));
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float32, "gradients");
    }

    /// <summary>From one row at a time to all at once, and with panels of a half-precision weight of every size.</summary>
    [Test]
    public void DoesNotDependOnTheBlocks(
        [Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type, [Values] bool ownHead, [Values(1L, 700L, 5000L, 40_000L)] long bytes)
    {
        LinearCase inputs = new LinearCase([50], type, ownHead ? type : null).Ignore(0.3);
        Tensor expected = inputs.Loss();
        expected.backward();
        Tensor[] gradients = [.. inputs.TakeGradients().Select(gradient => gradient.to(ScalarType.Float64))];
        Tensor loss = inputs.Loss(options: new LinearLossOptions { WorkspaceBytes = bytes });
        loss.backward();
        AssertNear(loss, expected.to(ScalarType.Float64), 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, type, "gradients");
    }

    [Test]
    public void TokenCountDividesTheMean()
    {
        LinearCase inputs = new LinearCase([8]).Ignore(0.2);
        Tensor loss = inputs.Loss(tokenCount: tensor(20));
        loss.backward();
        (Tensor exact, Tensor[] gradients) = inputs.Exact(LossObjective.Asft(), Reduction.Mean, tensor(1f), tokenCount: 20);
        AssertNear(loss, exact, 1e-6, "loss");
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float32, "gradients");
    }

    /// <summary>
    /// What ignored rows hold reaches nothing, not even as NaN, and the bits of the others are those without them.
    /// </summary>
    [Test]
    public void IgnoredRowsTakeNoPart([Values] Reduction reduction)
    {
        var inputs = new LinearCase([6]);
        Tensor keep = tensor(new long[] { 0, 2, 3 });
        var compact = new LinearCase([3])
        {
            Hidden = inputs.Hidden.detach().index_select(0, keep).requires_grad_(),
            Weight = inputs.Weight,
            Bias = inputs.Bias,
            ReferenceHidden = inputs.ReferenceHidden!.index_select(0, keep),
            Labels = inputs.Labels.index_select(0, keep),
        };
        compact.Loss(reduction: reduction).sum().backward();
        Tensor[] expected = compact.TakeGradients();

        Tensor ignored = tensor(new long[] { 1, 4, 5 });
        inputs.Labels.index_fill_(0, ignored, -100);
        inputs.ReferenceHidden!.index_fill_(0, ignored, double.NaN);
        inputs.Hidden = inputs.Hidden.detach().index_fill_(0, ignored, double.NaN).requires_grad_();
        inputs.Loss(reduction: reduction).sum().backward();
        Tensor[] actual = inputs.TakeGradients();
        Assert.That(Values(actual[0].index_select(0, keep)), Is.EqualTo(Values(expected[0])));
        Assert.That(Values(actual[0].index_select(0, ignored)), Is.All.Zero);
        Assert.That(Values(actual[1]), Is.EqualTo(Values(expected[1])));
        Assert.That(Values(actual[2]), Is.EqualTo(Values(expected[2])));
    }

    /// <summary>With an infinite upstream gradient, too, the hidden states of ignored rows have the gradient 0.</summary>
    [Test]
    public void IgnoredRowsStayZeroUnderAnInfiniteUpstream()
    {
        var inputs = new LinearCase([3]);
        inputs.Labels[1] = -100;
        inputs.Loss().backward([tensor(float.PositiveInfinity)]);
        Tensor gradient = inputs.TakeGradients()[0];
        Assert.That(Values(gradient[1]), Is.All.Zero);
        Assert.That(Values(gradient[0]), Has.None.EqualTo(0));
    }

    [Test]
    public void NothingCounted([Values] Reduction reduction)
    {
        var inputs = new LinearCase([4]);
        inputs.Labels.fill_(-100);
        Tensor loss = inputs.Loss(reduction: reduction);
        loss.sum().backward();
        Assert.That(Values(loss), Is.All.Zero);
        foreach (Tensor gradient in inputs.TakeGradients())
        {
            Assert.That(Values(gradient), Is.All.Zero);
        }
    }

    /// <summary>A loss scale keeps gradients that float16 could not hold without it.</summary>
    [Test]
    public void Float16KeepsSmallGradientsUnderALossScale()
    {
        const float Scale = 65536;
        LinearCase inputs = new LinearCase([400], ScalarType.Float16, bias: false);
        inputs.Loss(LossObjective.Asft() with { LogitScale = 0.02 }, tokenCount: tensor(100_000)).backward([tensor(Scale)]);
        (_, Tensor[] gradients) = inputs.Exact(
            LossObjective.Asft() with { LogitScale = 0.02 }, Reduction.Mean, tensor(Scale), tokenCount: 100_000);
        Assert.That(gradients[0].abs().max().item<double>() / Scale, Is.LessThan(Math.ScaleB(1, -24)), "without the scale, nothing would be left");
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float16, "gradients");
    }

    [Test]
    [Pairwise]
    public void MetricsAreThoseOfTheLogits(
        [ValueSource(typeof(Objectives), nameof(Objectives.Names))] string name, [Values] bool shift, [Values] bool withReference)
    {
        LossObjective objective = Objectives.All[name];
        LinearCase inputs = new LinearCase([4, 6]).Ignore(0.3, objective.IgnoreIndex);
        if (!withReference)
        {
            if (objective.NeedsReference)
            {
                Assert.Throws<ArgumentNullException>(() => new LinearCase([2]) { ReferenceHidden = null }.Loss(objective));
                return;
            }

            inputs.ReferenceHidden = null;
        }

        using AsftLossResult actual = inputs.Metrics(objective, shiftLabels: shift, options: s_fewRows);
        Tensor logits = inputs.Hidden.detach().matmul(inputs.Weight.detach().t()) + inputs.Bias!.detach();
        Tensor? reference = inputs.ReferenceHidden?.matmul(inputs.Weight.detach().t()).add(inputs.Bias!.detach());
        using AsftLossResult expected = AsftFunctional.asft_loss_with_metrics(logits, inputs.Labels, reference, objective, shiftLabels: shift);
        Assert.That(actual.TokenCount, Is.EqualTo(expected.TokenCount));
        Assert.That(Values(actual.PredictedToken), Is.EqualTo(Values(expected.PredictedToken)));
        AssertClose(actual.Loss, expected.Loss, 2e-6, 2e-6, "loss");
        AssertClose(actual.TokenLoss, expected.TokenLoss, 4e-6, 4e-6, "token loss");
        AssertClose(actual.TokenLogProbability, expected.TokenLogProbability, 4e-6, 4e-6, "log-probability");
        AssertClose(actual.TokenWeight, expected.TokenWeight, 4e-6, 8e-6, "weight");
        AssertClose(actual.TokenKl, expected.TokenKl, 4e-6, 4e-6, "kl");
        AssertClose(actual.TokenLogSumExp, expected.TokenLogSumExp, 4e-6, 4e-6, "lse");
        Assert.That(actual.TokenLoss.requires_grad, Is.False);
        actual.Loss.backward();
        (_, Tensor[] gradients) = inputs.Exact(objective, Reduction.Mean, tensor(1f), shift);
        AssertGradients(inputs.TakeGradients(), gradients, ScalarType.Float32, name);

        using (no_grad())
        {
            using AsftLossResult evaluated = inputs.Metrics(objective, shiftLabels: shift, options: s_fewRows);
            Assert.That(evaluated.Loss.requires_grad, Is.False);
            AssertClose(evaluated.TokenLoss, actual.TokenLoss, 1e-7, 1e-7, "token loss without a gradient");
            Assert.That(Values(evaluated.PredictedToken), Is.EqualTo(Values(actual.PredictedToken)));
        }
    }

    /// <summary>A reference that is the policy is at a distance of exactly 0.</summary>
    [Test]
    public void IdenticalReferenceHasNoKl([Values] KlDirection direction)
    {
        var inputs = new LinearCase([19]);
        inputs.ReferenceHidden = inputs.Hidden.detach();
        using AsftLossResult result = inputs.Metrics(LossObjective.Asft() with { KlDirection = direction });
        Assert.That(Values(result.TokenKl), Is.All.Zero);
    }
}
