using Asft.Kernels.Reference;
using CsCheck;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>The CUDA kernels against the double-precision reference, and what holds for every input.</summary>
[Parallelizable]
public unsafe class KernelPropertyTests
{
    private const int Cases = 150;

    private static readonly ReferenceTokenLossKernel s_reference = new();

    [Test]
    public void AgreesWithTheReference() => RandomCase.Any.ForEach(
        Cases, test => KernelPromises.LossAndGradientAreExact(MachineKernel.Get(), Fused(test)), threads: 1);

    [Test]
    public void BackwardAgreesWithTheReferenceForAnyUpstreamGradient() => Gen.Select(RandomCase.Any, Gen.Bool).ForEach(
        Cases, (test, scalar) => KernelPromises.BackwardIsExact(MachineKernel.Get(), Fused(test), scalar), threads: 1);

    [Test]
    public void EveryObjectiveAgreesWithTheReference() => RandomCase.General.ForEach(
        Cases, test => KernelPromises.LossAndGradientAreExact(MachineKernel.Get(), test), threads: 1);

    [Test]
    public void EveryObjectiveBackward() => RandomCase.General.ForEach(
        Cases, test => KernelPromises.BackwardIsExact(MachineKernel.Get(), test, test.Seed % 2 == 0), threads: 1);

    [Test]
    public void ShardsOfEveryObjective() => RandomCase.General.ForEach(
        Cases / 2, test => KernelPromises.ShardsGiveTheWholeRow(MachineKernel.Get(), test), threads: 1);

    [Test]
    public void LanguageModelLogits(
        [Values] ElementType type, [Values] KlDirection direction, [Values(4099, 12000)] int vocabulary)
    {
        using KernelRun run = FigureTests.Problem(type, vocabulary, direction, rows: 3);
        double[] logits = run.ReadMatrix(run.Logits);
        double[] reference = run.ReadMatrix(run.Problem.Reference);
        long[] labels = new Span<long>(run.Problem.Labels, 3).ToArray();
        using var exact = new KernelRun(run.Problem.Objective, logits, reference, labels, ElementType.Float64);
        exact.Forward(s_reference);
        run.Forward(MachineKernel.Get());
        new RandomCase(run.Problem.Objective, 3, vocabulary, type, type, 0, false, 0).AssertAgree(run, exact, 1);
    }

    [Test]
    public void RowsInAnyOrder() => KernelPromises.RowsMayLieInAnyOrder(MachineKernel.Get(), 700, ElementType.Float32, padding: 4);

    [Test]
    public void TheSameInputGivesTheSameBits([Values] bool inPlace, [Values] BlocksOfARow blocks)
    {
        // Each seed is another order of blocks and warps.
        LossObjective objective = LossObjective.Asft() with { LabelSmoothing = 0.1 };
        var test = new RandomCase(objective, 2, 20_001, ElementType.BFloat16, ElementType.BFloat16, 7, inPlace, 42);
        byte[]? first = null;
        for (int seed = 1; seed <= 3; seed++)
        {
            using KernelRun run = test.Run();
            run.Forward(MachineKernel.Get(blocks, seed), inPlace);
            byte[] bits = run.Bits();
            Assert.That(bits, Is.EqualTo(first ?? bits));
            first = bits;
        }
    }

    [Test]
    [Pairwise]
    public void InPlaceGivesTheSameBits(
        [Values] ElementType type, [Values] KlDirection direction, [Values(0.0, 5.0)] double softcap, [Values] BlocksOfARow blocks)
    {
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LogitSoftcap = softcap };
        var test = new RandomCase(objective, 3, 18_003, type, type, 1, false, 11);
        using KernelRun apart = test.Run();
        using KernelRun inPlace = test.Run();
        apart.Forward(MachineKernel.Get(blocks));
        inPlace.Forward(MachineKernel.Get(blocks), inPlace: true);
        Assert.That(inPlace.ReadMatrix(inPlace.Logits), Is.EqualTo(apart.ReadMatrix(apart.Gradient)));
        Assert.That(inPlace.Read(inPlace.Outputs.Loss), Is.EqualTo(apart.Read(apart.Outputs.Loss)));
    }

    [Test]
    public void IdenticalRowsHaveAKlOfExactlyZero(
        [Values] ElementType type, [Values] KlDirection direction, [Values(0.0, 30.0)] double softcap, [Values] BlocksOfARow blocks)
    {
        var random = new Random(3);
        double[] logits = [.. Enumerable.Range(0, 2 * 18_003).Select(_ => (random.NextDouble() * 60) - 30)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LogitScale = 0.7, LogitSoftcap = softcap };
        using var run = new KernelRun(objective, logits, logits, [1, 2], type);
        MachineKernel.Get(blocks).Forward(run.Problem, run.Outputs, default);
        Assert.That(run.Read(run.Outputs.Kl), Is.All.Zero);
    }

    [Test]
    public void AConstantOffsetBetweenTheModelsDoesNotDisturbTheKl([Values] KlDirection direction) =>
        KernelPromises.AConstantOffsetDoesNotDisturbTheKl(MachineKernel.Get(), direction, vocabulary: 3000);

    [Test]
    public void SmallProbabilitiesBesideALargeOneAreNotRoundedAway([Values] BlocksOfARow blocks) =>
        KernelPromises.SmallProbabilitiesAreNotRoundedAway(MachineKernel.Get(blocks));

    [Test]
    public void OfEqualLogitsTheFirstIsPredicted(
        [Values(0, 1, 63, 64, 700, 1501, 8191, 16_384, 19_999)] int first,
        [Values(ElementType.BFloat16, ElementType.Float32)] ElementType type,
        [Values] BlocksOfARow blocks)
    {
        double[] logits = new double[20_000];
        foreach (int later in new[] { first, 9000, 12_345, 16_385, 19_999 })
        {
            logits[Math.Max(first, later)] = 4;
        }

        using var run = new KernelRun(LossObjective.Sft, [.. logits, .. logits], null, [0, 0], type);
        run.Forward(MachineKernel.Get(blocks));
        Assert.That(run.Predicted, Is.EqualTo(new long[] { first, first }));
    }

    [Test]
    public void Float16KeepsSmallGradientsUnderALossScale()
    {
        double[] logits = [.. Enumerable.Range(0, 2000).Select(i => i == 7 ? 8.0 : 0.0)];
        using var exact = new KernelRun(LossObjective.Sft, logits, null, [7], ElementType.Float64);
        using var run = new KernelRun(LossObjective.Sft, logits, null, [7], ElementType.Float16);
        exact.Forward(s_reference, scale: 65536);
        run.Forward(MachineKernel.Get(), scale: 65536);
        double[] wanted = exact.ReadMatrix(exact.Gradient);
        double[] found = run.ReadMatrix(run.Gradient);
        Assert.That(wanted[0] / 65536, Is.LessThan(Math.ScaleB(1, -11)).And.GreaterThan(0));
        Tolerance.AssertClose(found, wanted, 0, 1e-5 + Math.ScaleB(1, -11), "gradient");
    }

    /// <summary>Loss and gradient in one launch, which sums no entropy.</summary>
    private static RandomCase Fused(RandomCase test) => test with { HasEntropy = false };
}
