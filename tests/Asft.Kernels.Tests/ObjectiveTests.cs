namespace Asft.Kernels.Tests;

/// <summary>A loss objective refuses what no loss is defined for, naming property and value.</summary>
public class ObjectiveTests
{
    [TestCase(nameof(LossObjective.KlWeight), -0.1)]
    [TestCase(nameof(LossObjective.KlWeight), double.NaN)]
    [TestCase(nameof(LossObjective.KlWeight), double.PositiveInfinity)]
    [TestCase(nameof(LossObjective.WeightExponent), -1)]
    [TestCase(nameof(LossObjective.WeightMin), -1)]
    [TestCase(nameof(LossObjective.WeightMin), double.PositiveInfinity)]
    [TestCase(nameof(LossObjective.WeightMax), -1)]
    [TestCase(nameof(LossObjective.WeightMax), double.NaN)]
    [TestCase(nameof(LossObjective.LabelSmoothing), -0.1)]
    [TestCase(nameof(LossObjective.LabelSmoothing), 1.1)]
    [TestCase(nameof(LossObjective.LogitScale), 0)]
    [TestCase(nameof(LossObjective.LogitScale), double.NaN)]
    [TestCase(nameof(LossObjective.LogitSoftcap), -30)]
    [TestCase(nameof(LossObjective.ZLossWeight), -1e-4)]
    public void RefusesABadValue(string property, double value)
    {
        ArgumentOutOfRangeException? error = Assert.Throws<ArgumentOutOfRangeException>(() => Make(property, value));
        Assert.That(error!.ParamName, Is.EqualTo(property));
        Assert.That(error.Message, Does.StartWith(FormattableString.Invariant($"{property} must be ")).And.Contain(FormattableString.Invariant($"got {value}.")));
    }

    [Test]
    public void RefusesBoundsTheWrongWayRound()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new LossObjective { WeightMin = 2, WeightMax = 1 });
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new LossObjective { WeightMax = 1, WeightMin = 2 });
    }

    [Test]
    public void RefusesUndefinedEnums()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new LossObjective { Weighting = (TokenWeighting)7 });
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new LossObjective { KlDirection = (KlDirection)7 });
    }

    [Test]
    public void TheNamedObjectivesAreWhatTheyAreCalled()
    {
        Assert.That(LossObjective.Sft, Is.EqualTo(new LossObjective()));
        Assert.That(LossObjective.Dft, Is.EqualTo(new LossObjective { Weighting = TokenWeighting.Probability }));
        Assert.That(LossObjective.SftKl(0.1), Is.EqualTo(new LossObjective { KlWeight = 0.1 }));
        Assert.That(LossObjective.Asft(), Is.EqualTo(new LossObjective { Weighting = TokenWeighting.Probability, KlWeight = 0.05 }));
        Assert.That(LossObjective.Sft.NeedsReference, Is.False);
        Assert.That(LossObjective.Asft().NeedsReference, Is.True);
        Assert.That(new LossObjective { Weighting = TokenWeighting.ImportanceRatio }.NeedsReference, Is.True);
    }

    private static LossObjective Make(string property, double value) => property switch
    {
        nameof(LossObjective.KlWeight) => new() { KlWeight = value },
        nameof(LossObjective.WeightExponent) => new() { WeightExponent = value },
        nameof(LossObjective.WeightMin) => new() { WeightMin = value },
        nameof(LossObjective.WeightMax) => new() { WeightMax = value },
        nameof(LossObjective.LabelSmoothing) => new() { LabelSmoothing = value },
        nameof(LossObjective.LogitScale) => new() { LogitScale = value },
        nameof(LossObjective.LogitSoftcap) => new() { LogitSoftcap = value },
        _ => new() { ZLossWeight = value },
    };
}
