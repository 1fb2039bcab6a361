namespace Asft.Kernels.Tests;

/// <summary>What a call makes of the reference.</summary>
public unsafe class RowPlanTests
{
    private static readonly LossObjective s_ratio = new() { Weighting = TokenWeighting.ImportanceRatio };

    private static readonly LossObjective s_reverse = LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse };

    [Test]
    public void AForwardPassReadsWhatItsOutputsNeed()
    {
        Assert.That(Forward(LossObjective.Sft, looks: false), Is.EqualTo((ReferenceUse.None, ReferenceUse.None, ReferenceUse.None)));
        Assert.That(Forward(s_ratio, looks: false), Is.EqualTo((ReferenceUse.Sum, ReferenceUse.Sum, ReferenceUse.None)));
        Assert.That(Forward(LossObjective.Asft(), looks: false), Is.EqualTo((ReferenceUse.ForwardKl, ReferenceUse.ForwardKl, ReferenceUse.ForwardKl)));
        Assert.That(Forward(s_reverse, looks: false), Is.EqualTo((ReferenceUse.ReverseKl, ReferenceUse.ReverseKl, ReferenceUse.ReverseKl)));
    }

    [Test]
    public void ADivergenceThatIsLookedAtHasNoPartInTheGradient()
    {
        Assert.That(Forward(LossObjective.Sft, looks: true), Is.EqualTo((ReferenceUse.ForwardKl, ReferenceUse.ForwardKl, ReferenceUse.None)));
        Assert.That(Forward(s_reverse with { KlWeight = 0 }, looks: true), Is.EqualTo((ReferenceUse.ReverseKl, ReferenceUse.ReverseKl, ReferenceUse.None)));
    }

    [Test]
    public void ABackwardPassReadsADivergenceOfTheLossAlone()
    {
        Assert.That(Backward(LossObjective.Sft), Is.EqualTo((ReferenceUse.None, ReferenceUse.None, ReferenceUse.None)));
        Assert.That(Backward(s_ratio), Is.EqualTo((ReferenceUse.None, ReferenceUse.Sum, ReferenceUse.None)), "the saved state knows the sum");
        Assert.That(Backward(s_reverse), Is.EqualTo((ReferenceUse.ReverseKl, ReferenceUse.ReverseKl, ReferenceUse.ReverseKl)));
    }

    private static (ReferenceUse Reads, ReferenceUse Use, ReferenceUse GradientUse) Forward(LossObjective objective, bool looks)
    {
        using var run = new KernelRun(objective, [1, 2, 3], [1, 2, 3], [0], ElementType.Float32);
        TokenOutputs outputs = looks ? run.Outputs : default;
        return Uses(RowPlan.Forward(run.Problem, outputs, default));
    }

    private static (ReferenceUse Reads, ReferenceUse Use, ReferenceUse GradientUse) Backward(LossObjective objective)
    {
        using var run = new KernelRun(objective, [1, 2, 3], [1, 2, 3], [0], ElementType.Float32);
        return Uses(RowPlan.Backward(run.Problem, run.Outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 }));
    }

    private static (ReferenceUse Reads, ReferenceUse Use, ReferenceUse GradientUse) Uses(in RowPlan plan) => (plan.Reads, plan.Use, plan.GradientUse);
}
