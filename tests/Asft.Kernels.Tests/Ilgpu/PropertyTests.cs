using Asft.Kernels.Ilgpu;
using Asft.Kernels.Reference;
using CsCheck;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>The ILGPU kernel against the double-precision reference, and what holds for every input.</summary>
[TestFixtureSource(typeof(Devices), nameof(Devices.Fixtures))]
public unsafe class PropertyTests(string device)
{
    private static readonly ReferenceTokenLossKernel s_reference = new();

    /// <summary>
    /// Most cases compile a program of their own, which takes far longer than to run it, above all where LLVM does it.
    /// </summary>
    private int Cases => Devices.Named(device).IsEmulated ? 12 : 6;

    [Test]
    public void AgreesWithTheReference()
    {
        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        RandomCase.Any.ForEach(Cases, test => KernelPromises.LossAndGradientAreExact(kernel, test));
    }

    [Test]
    public void BackwardAgreesWithTheReferenceForAnyUpstreamGradient()
    {
        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        Gen.Select(RandomCase.Any, Gen.Bool).ForEach(Cases, (test, scalar) => KernelPromises.BackwardIsExact(kernel, test, scalar));
    }

    [Test]
    public void EveryObjectiveAgreesWithTheReference()
    {
        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        RandomCase.General.ForEach(Cases, test => KernelPromises.LossAndGradientAreExact(kernel, test));
        RandomCase.General.ForEach(Cases, test => KernelPromises.ShardsGiveTheWholeRow(kernel, test));
    }

    [Test]
    public void ShardsGiveTheWholeRow()
    {
        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        RandomCase.Any.ForEach(Cases, test => KernelPromises.ShardsGiveTheWholeRow(kernel, test));
    }

    [Test]
    public void RowsInAnyOrder() => KernelPromises.RowsMayLieInAnyOrder(Devices.Kernel(device), 50, ElementType.BFloat16, padding: 3);

    [Test]
    public void TheSameInputGivesTheSameBits([Values] bool inPlace)
    {
        IlgpuTokenLossKernel kernel = Devices.Kernel(device);
        LossObjective objective = LossObjective.Asft() with { LabelSmoothing = 0.1 };
        var test = new RandomCase(objective, 5, 3001, ElementType.Float32, ElementType.Float32, 5, inPlace, 42);
        byte[]? first = null;
        for (int i = 0; i < 5; i++)
        {
            using KernelRun run = test.Run();
            run.Forward(kernel, inPlace);
            byte[] bits = run.Bits();
            Assert.That(bits, Is.EqualTo(first ?? bits));
            first = bits;
        }
    }

    [Test]
    public void IdenticalRowsHaveAKlOfExactlyZero(
        [Values(ElementType.Float32, ElementType.Float64)] ElementType type, [Values] KlDirection direction, [Values(0.0, 30.0)] double softcap)
    {
        var random = new Random(3);
        double[] logits = [.. Enumerable.Range(0, 2 * 5003).Select(_ => (random.NextDouble() * 60) - 30)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LogitScale = 0.7, LogitSoftcap = softcap };
        using var run = new KernelRun(objective, logits, logits, [1, 2], type);
        Devices.Kernel(device).Forward(run.Problem, run.Outputs, default);
        Assert.That(run.Read(run.Outputs.Kl), Is.All.Zero);
    }

    [Test]
    public void AConstantOffsetBetweenTheModelsDoesNotDisturbTheKl([Values] KlDirection direction) =>
        KernelPromises.AConstantOffsetDoesNotDisturbTheKl(Devices.Kernel(device), direction, vocabulary: 1000);

    [Test]
    public void SmallProbabilitiesBesideALargeOneAreNotRoundedAway() => KernelPromises.SmallProbabilitiesAreNotRoundedAway(Devices.Kernel(device));

    [Test]
    public void OfEqualLogitsTheFirstIsPredicted()
    {
        double[] logits = new double[3000];
        logits[700] = logits[1501] = logits[2999] = 4;
        using var run = new KernelRun(LossObjective.Sft, logits, null, [0], ElementType.Float32);
        run.Forward(Devices.Kernel(device));
        Assert.That(run.Predicted, Is.EqualTo(new long[] { 700 }));
    }
}
