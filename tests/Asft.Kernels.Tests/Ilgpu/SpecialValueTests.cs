namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>Infinities, NaN, masks, ignored rows and refused arguments.</summary>
[TestFixtureSource(typeof(Devices), nameof(Devices.Fixtures))]
public unsafe class SpecialValueTests(string device)
{
    private const double Inf = double.PositiveInfinity;

    [Test]
    public void SpecialValuesStayInTheirRow([Values] ElementType type)
    {
        double[] plain = [0.5, 1, 1.5, 2, 0];
        double[] logits = [.. plain, 1, double.NaN, 2, 0, 1, .. plain, -Inf, -Inf, -Inf, -Inf, -Inf, 1, Inf, 0, 2, 1, .. plain];
        double[] reference = [.. plain, .. plain, .. plain, .. plain, .. plain, 1, double.NaN, 1, 1, 1];
        using var run = new KernelRun(LossObjective.Asft(), logits, reference, [0, 0, 0, 0, 0, 0], type);
        run.Forward(Devices.Kernel(device));
        double[] loss = run.Read(run.Outputs.Loss);
        Assert.That(loss.Select(double.IsNaN), Is.EqualTo(new[] { false, true, false, true, true, true }));
        double[] gradient = run.ReadMatrix(run.Gradient);
        for (int row = 0; row < 6; row++)
        {
            Assert.That(gradient[(row * 5)..((row + 1) * 5)].Select(double.IsNaN), Is.All.EqualTo(double.IsNaN(loss[row])), $"row {row}");
        }

        Assert.That(run.Predicted, Is.EqualTo(new long[] { 3, -1, 3, 0, -1, 3 }));
    }

    [Test]
    public void MassThatThePolicyExcludesIsAnInfiniteForwardKl()
    {
        using var forward = new KernelRun(LossObjective.SftKl(1), [1, -Inf, 2], [1, 1, 2], [0], ElementType.Float32);
        forward.Forward(Devices.Kernel(device));
        Assert.That(forward.Read(forward.Outputs.Kl)[0], Is.EqualTo(Inf));
        Assert.That(forward.ReadMatrix(forward.Gradient), Is.All.Matches<double>(double.IsFinite));

        using var reverse = new KernelRun(
            LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse }, [1, -Inf, 2], [1, 1, 2], [0], ElementType.Float32);
        reverse.Forward(Devices.Kernel(device));
        Assert.That(reverse.Read(reverse.Outputs.Kl)[0], Is.InRange(0.1, 1), "the reverse direction does not mind");
    }

    [Test]
    public void AnInfiniteTermStaysInfiniteWhereverTheMaximaLie([Values] KlDirection direction, [Values(0, 700, 2999)] int at)
    {
        // Maxima that rise through the row rescale the sum that holds the infinity.
        double[] rising = [.. Enumerable.Range(0, 3000).Select(i => i / 512.0)];
        double[] masked = [.. rising];
        masked[at] = -Inf;
        bool forward = direction == KlDirection.Forward;
        using var run = new KernelRun(
            LossObjective.SftKl(1) with { KlDirection = direction }, forward ? masked : rising, forward ? rising : masked, [5], ElementType.Float32);
        run.Forward(Devices.Kernel(device));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.EqualTo(Inf));
    }

    [Test]
    public void AnInfiniteWeightOrReverseDivergenceLeavesNoGradient()
    {
        var weighted = new LossObjective { Weighting = TokenWeighting.ImportanceRatio };
        using var weight = new KernelRun(weighted, [1, 2, -200], [-Inf, 1, 2], [0], ElementType.Float32);
        weight.Forward(Devices.Kernel(device));
        Assert.That(weight.Read(weight.Outputs.Weight)[0], Is.EqualTo(Inf));
        Assert.That(weight.ReadMatrix(weight.Gradient), Is.All.NaN);

        LossObjective reverse = LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse };
        using var divergence = new KernelRun(reverse, [1, 2, -200], [-Inf, 1, 2], [1], ElementType.Float32);
        divergence.Forward(Devices.Kernel(device));
        Assert.That(divergence.Read(divergence.Outputs.Kl)[0], Is.EqualTo(Inf));
        Assert.That(divergence.ReadMatrix(divergence.Gradient), Is.All.NaN);
    }

    [Test]
    public void TheLowestFiniteNumberMasksToo()
    {
        // As masks are often written: minus infinity itself is not needed.
        double[] logits = [1, float.MinValue, 2, float.MinValue];
        using var run = new KernelRun(LossObjective.Asft(), logits, logits, [0], ElementType.Float32);
        run.Forward(Devices.Kernel(device));
        Assert.That(run.Read(run.Outputs.LogSumExp)[0], Is.EqualTo(2.3132617).Within(2e-6));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.Zero);
        Assert.That(run.ReadMatrix(run.Gradient), Is.All.Matches<double>(double.IsFinite));
    }

    [Test]
    public void HugeLogits([Values(1e4, -1e4, 3e38)] double offset)
    {
        double[] logits = [offset, offset, -3e38, offset];
        using var run = new KernelRun(LossObjective.Asft(), logits, logits, [0], ElementType.Float32);
        run.Forward(Devices.Kernel(device));
        Assert.That(run.Read(run.Outputs.LogProbability)[0], Is.EqualTo(-Math.Log(3)).Within(2e-6));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.Zero);
    }

    [Test]
    public void IgnoredRowsAreNotRead() => KernelPromises.IgnoredRowsAreNotRead(Devices.Kernel(device));

    [Test]
    public void AReferenceThatTheObjectiveDoesNotNeedIsNotRead() =>
        KernelPromises.AReferenceThatTheObjectiveDoesNotNeedIsNotRead(Devices.Kernel(device));

    [Test]
    public void LabelsOutOfRangeAreRefusedBeforeAnythingIsWritten([Values(-1L, 7L, long.MaxValue, long.MinValue)] long label)
    {
        using var run = new KernelRun(LossObjective.Sft, new double[21], null, [0, -100, label], ElementType.Float32);
        byte[] before = run.Bits();
        ArgumentOutOfRangeException? error =
            Assert.Throws<ArgumentOutOfRangeException>(() => run.Forward(Devices.Kernel(device)));
        Assert.That(error!.Message, Does.Contain($"labels[2] is {label}"));
        Assert.That(run.Bits(), Is.EqualTo(before));
    }

    [Test]
    public void AMissingReferenceIsRefused()
    {
        using var run = new KernelRun(LossObjective.Asft(), [1, 2, 3], null, [0], ElementType.Float32);
        Assert.Throws<ArgumentException>(() => run.Forward(Devices.Kernel(device)));
    }

    [Test]
    public void NoRowsAndOnlyIgnoredRows()
    {
        using var none = new KernelRun(LossObjective.Sft, [], null, [], ElementType.Float32);
        Assert.DoesNotThrow(() => none.Forward(Devices.Kernel(device)));

        using var ignored = new KernelRun(LossObjective.Sft, [1, 2, 3, 4], null, [-100, -100], ElementType.Float32);
        ignored.Forward(Devices.Kernel(device));
        Assert.That(ignored.Read(ignored.Outputs.Loss), Is.All.Zero);
        Assert.That(ignored.ReadMatrix(ignored.Gradient), Is.All.Zero);
    }
}
