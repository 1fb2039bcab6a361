using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>
/// Both curves that a softcap is made of in float32, see kernels/softcap.cuh: near zero, beyond, and side by side in one chunk. The last two
/// caps are so far from the scale that the powers of their ratio are not numbers of float32.
/// </summary>
[Parallelizable]
public unsafe class KernelSoftcapTests
{
    private const int Vocabulary = 4_100;

    private static readonly ReferenceTokenLossKernel s_reference = new();

    /// <summary>Rows of which every logit is near, some are far above or below in one of the models, or most are, or of which none is above 1/2.</summary>
    [Test]
    public void EveryCurveIsExact(
        [Values] ElementType type, [Values] KlDirection direction, [Values(5, 30, 1e6, 1e-5)] double softcap, [Values(0.0, 0.1)] double smoothing)
    {
        var random = new Random(5);
        double[] Row(int oneIn = Vocabulary, double far = 0, int most = 23) =>
            [.. Enumerable.Range(0, Vocabulary).Select(i => (random.Next(-most, most + 1) / 8.0) + (i % oneIn == 7 ? far : 0))];
        double[][] policy = [Row(), Row(900, 20), Row(900, -20), Row(), Row(), Row(2, 8), Row(most: 4)];
        double[][] reference = [Row(), Row(), Row(), Row(900, 20), Row(900, -20), Row(2, 8), Row(most: 4)];
        long[] labels = [1, 7, 8, 1807, 7, 9, 5];
        LossObjective objective = LossObjective.Asft(1) with { KlDirection = direction, LogitSoftcap = softcap, LabelSmoothing = smoothing };
        using var run = new KernelRun(objective, [.. policy.SelectMany(row => row)], [.. reference.SelectMany(row => row)], labels, type);
        using var exact = new KernelRun(
            objective, run.ReadMatrix(run.Logits), run.ReadMatrix(run.Problem.Reference), labels, ElementType.Float64);
        exact.Forward(s_reference);
        run.Forward(MachineKernel.Get());
        new RandomCase(objective, labels.Length, Vocabulary, type, type, 0, false, 0).AssertAgree(run, exact, 1);
    }

    /// <summary>Small logits under a cap so large that their curve has a unit, without a divergence whose infinity would save the row.</summary>
    [Test]
    public void ACapFarAboveTheScaleIsExact([Values] ElementType type)
    {
        double[] logits = [.. Enumerable.Range(0, Vocabulary).Select(i => (i * 7 % 9 - 4) / 8.0)];
        LossObjective objective = LossObjective.Sft with { LogitSoftcap = 1e6 };
        using var run = new KernelRun(objective, logits, null, [5], type);
        using var exact = new KernelRun(objective, logits, null, [5], ElementType.Float64);
        exact.Forward(s_reference);
        run.Forward(MachineKernel.Get());
        new RandomCase(objective, 1, Vocabulary, type, type, 0, false, 0).AssertAgree(run, exact, 1);
    }

    /// <summary>The others' share is what is left of a sum that the label is nearly all of: its term must be taken away to the last bit.</summary>
    [Test]
    public void ALabelThatIsNearlyCertain(
        [Values(ElementType.BFloat16, ElementType.Float32)] ElementType type, [Values(14.125, 17.625, 25.375)] double top, [Values] BlocksOfARow blocks)
    {
        const int Wide = 18_003;
        double[] logits = [.. Enumerable.Range(0, Wide).Select(i => i == 5_000 ? top : (i % 16 / 8.0) - 12)];
        LossObjective objective = LossObjective.Sft with { LogitSoftcap = 30 };
        using var run = new KernelRun(objective, logits, null, [5_000], type);
        using var exact = new KernelRun(objective, run.ReadMatrix(run.Logits), null, [5_000], ElementType.Float64);
        exact.Forward(s_reference);
        run.Forward(MachineKernel.Get(blocks));
        Tolerance.AssertClose(run.Read(run.Outputs.LogProbability), exact.Read(exact.Outputs.LogProbability), 3e-7, 2e-6, "log-probability");
    }

    [Test]
    public void TheGradientOfLogitsAtTheCapIsZero([Values] KlDirection direction)
    {
        double[] logits = [.. Enumerable.Range(0, Vocabulary).Select(i => i % 5 == 0 ? 200.0 : i % 5 == 1 ? -200.0 : i % 7 / 8.0)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LogitSoftcap = 5 };
        using var run = new KernelRun(objective, logits, logits, [0], ElementType.Float32);
        run.Forward(MachineKernel.Get());
        double[] gradient = run.ReadMatrix(run.Gradient);
        Assert.That(gradient.Where((_, i) => i % 5 < 2), Is.All.Zero);
        Assert.That(gradient.Where((_, i) => i % 5 >= 2), Has.None.Zero);
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.Zero);
    }
}
