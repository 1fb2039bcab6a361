using Asft.Kernels.Reference;
using Asft.PtxVm;
using CsCheck;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>Finite logits of every size, terms that no longer weigh anything, and weights that float32 cannot hold.</summary>
[Parallelizable]
public unsafe class KernelFiniteLogitTests
{
    /// <summary>Enough for several blocks to share a row, whichever kernel works on it.</summary>
    private const int Wide = 18_003;

    private static readonly ReferenceTokenLossKernel s_reference = new();

    [Test]
    public void EveryFiniteLogitIsExact(
        [Values("sft", "dft", "asft", "reverse", "ratio", "smoothing", "softcap", "scale")] string objective, [Values] ElementType type) =>
        FiniteSweep.AssertExact(MachineKernel.Get(), objective, type, 260, every: 61);

    [Test]
    public void SoTheyAreWhereBlocksShareARow(
        [Values("asft", "reverse", "ratio", "smoothing")] string objective, [Values(ElementType.Float32, ElementType.Float16)] ElementType type) =>
        FiniteSweep.AssertExact(MachineKernel.Get(BlocksOfARow.Several), objective, type, Wide, every: 211);

    [Test]
    public void AnInfiniteTermWithoutWeightIsGone(
        [Values(1, 100, 4000, 17_500)] int large, [Values(0, 9000)] int masked, [Values(200.0, 1000.0)] double size, [Values] BlocksOfARow blocks)
    {
        var policy = new double[Wide];
        var reference = new double[Wide];
        policy[masked] = double.NegativeInfinity;
        reference[large] = size;

        // e^-200 is a mass still, though not one of float32.
        AssertExact(LossObjective.SftKl(1), policy, reference, 7, MachineKernel.Get(blocks), gradient: size > 745);
    }

    [Test]
    public void MassBelowFloat32CountsAgainstADistanceAsLarge(
        [Values] KlDirection direction, [Values(301, 8000)] int at, [Values] BlocksOfARow blocks)
    {
        var heavy = new double[Wide];
        var far = new double[Wide];
        heavy[300] = 95;
        far[at] = float.MinValue;
        bool forward = direction == KlDirection.Forward;
        AssertExact(
            LossObjective.SftKl(0.1) with { KlDirection = direction }, forward ? far : heavy, forward ? heavy : far, 7,
            MachineKernel.Get(blocks));
    }

    [Test]
    public void PointsOnBothSidesOfWhereBase2EndsMeet([Range(0, 7)] int shift, [Values] BlocksOfARow blocks)
    {
        // 2^24 in base 2 is 11629080 nats: the first half lies beyond, the second, a little larger, does not.
        double[] logits = [.. Enumerable.Range(0, Wide).Select(i => i < Wide / 2 ? -11_629_081.0 - (shift / 2) : -11_629_075 + (shift % 2))];
        double[] reference = [.. logits.Select(x => -x)];
        AssertExact(LossObjective.SftKl(0.1), logits, reference, 9000, MachineKernel.Get(blocks));
    }

    /// <summary>Masks are common: they cost a second look at a chunk, not a second one at the row.</summary>
    [Test]
    public void MasksOfBothModelsTakeNoSumsInFloat64([Values(double.NegativeInfinity, float.MinValue)] double mask, [Values] KlDirection direction)
    {
        double[] logits = [.. Enumerable.Range(0, Wide).Select(i => i < 9000 || i % 50 == 0 ? mask : i % 40 / 8.0)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        using var run = new KernelRun(objective, logits, [.. logits.Select((x, i) => x + (i % 3))], [9001], ElementType.Float32);
        MachineKernel kernel = MachineKernel.Get();
        kernel.Forward(run.Problem, run.Outputs, default);
        Assert.That(double.IsFinite(run.Read(run.Outputs.Kl)[0]));
        Assert.That(kernel.Machine.LastLaunch.Lanes(InstructionClass.Float64), Is.LessThan(Wide), "instructions in float64");
    }

    [Test]
    public void SmoothingCountsFiniteMasksAlikeInBothPasses([Values(0.5, 2.0)] double scale, [Values(6, Wide)] int vocabulary, [Values] BlocksOfARow blocks)
    {
        LossObjective objective = new() { LabelSmoothing = 0.3, LogitScale = scale };
        double[] logits = [.. Enumerable.Range(0, vocabulary).Select(i => i % 6 == 5 ? double.NegativeInfinity : i % 2 == 1 ? float.MinValue : i % 7)];
        AssertExact(objective, logits, null, 2, MachineKernel.Get(blocks));
    }

    [Test]
    public void ALargeScaleOfOrdinaryLogitsIsExact([Values(1e5, 1e10, 1e30)] double scale, [Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft() with { LogitScale = scale, KlDirection = direction };
        AssertExact(objective, [1, 2, 3, 3, -1], [1, 2, 3, 3, -1], 2, MachineKernel.Get());
    }

    [Test]
    public void ATinyScaleIsExact([Values(1e-30, 1e-39, 1e-60)] double scale, [Values(0.0, 1e-3)] double softcap)
    {
        LossObjective objective = LossObjective.Asft() with { LogitScale = scale, LogitSoftcap = softcap };
        AssertExact(objective, [1, 2, 3e38, double.NegativeInfinity, -1], [-3e38, 2, 3, 3, -1], 2, MachineKernel.Get());
    }

    /// <summary>The weight p/q is above every float32; what it is multiplied with is so small that the gradient is ordinary.</summary>
    [Test]
    public void TheGradientOfARatioAboveFloat32IsExact([Values(5, Wide)] int vocabulary, [Values] ElementType type, [Values] BlocksOfARow blocks)
    {
        LossObjective objective = new() { Weighting = TokenWeighting.ImportanceRatio };
        double[] policy = [.. Enumerable.Range(0, vocabulary).Select(i => i == 0 ? 93.0 : i % 4)];
        double[] reference = [.. Enumerable.Range(0, vocabulary).Select(i => i == 0 ? -93.0 : -20.0 * (i % 3))];
        AssertExact(objective, policy, reference, 0, MachineKernel.Get(blocks), type);
    }

    /// <summary>The weight nearly fits float32, and what it is multiplied with is 0 there.</summary>
    [Test]
    public void AProbabilityBelowFloat32ShowsUnderALargeWeight() => AssertExact(
        new() { Weighting = TokenWeighting.ImportanceRatio }, [0, 0.5, -91, -2], [-82, 0, 0, 0], 0, MachineKernel.Get());

    /// <summary>The distance of two finite logits need not be finite; its share in the sum of the cross terms is.</summary>
    [Test]
    public void DistancesThatFloat64CannotHoldAreExact([Values] KlDirection direction)
    {
        double[] far = [1.2e308, 0, 0, -1.2e308];
        double[] near = [3, 0, 0, 0];
        bool forward = direction == KlDirection.Forward;
        AssertExact(
            LossObjective.SftKl(0.1) with { KlDirection = direction }, forward ? far : near, forward ? near : far, 0, MachineKernel.Get(),
            ElementType.Float64, gradient: forward); // in reverse its terms cancel to the last digit
    }

    [Test]
    public void LargeWeightsAreExact([Values(10.0, 1e6)] double klWeight, [Values] KlDirection direction)
    {
        double[] policy = [.. Enumerable.Range(0, 3001).Select(i => i % 40 / 8.0)];
        AssertExact(LossObjective.SftKl(klWeight) with { KlDirection = direction }, policy, policy, 5, MachineKernel.Get());
    }

    [Test]
    public void ModelsThatDisagreeByMoreThanFloat32HasDigitsFor() => RandomCase.Wide.ForEach(
        60, test => KernelPromises.LossAndGradientAreExact(MachineKernel.Get(), test), threads: 1);

    [Test]
    public void SoInTheDeferredGradient() => RandomCase.Wide.ForEach(
        60, test => KernelPromises.BackwardIsExact(MachineKernel.Get(), test, test.Seed % 2 == 0), threads: 1);

    /// <summary>Loss and gradient of a row, at once and later.</summary>
    internal static void AssertExact(
        LossObjective objective, double[] policy, double[]? reference, long label, MachineKernel kernel, ElementType type = ElementType.Float32,
        bool gradient = true)
    {
        ReferenceRow exact = ReferenceRow.Evaluate(objective, policy, reference, label);
        foreach (bool deferred in new[] { false, true })
        {
            using var run = new KernelRun(objective, policy, reference, [label], type);
            kernel.Forward(run.Problem, run.Outputs, deferred ? default : new TokenGradient { Logits = run.Gradient, Scale = 1 });
            if (deferred)
            {
                run.Backward(kernel, [1]);
            }

            Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), [exact.Loss], type, "loss");
            Tolerance.AssertOutputs(run.Read(run.Outputs.Kl), [exact.Kl], type, "KL");
            if (gradient)
            {
                Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), exact.Gradient, type, deferred ? "deferred gradient" : "gradient");
            }
        }
    }
}
