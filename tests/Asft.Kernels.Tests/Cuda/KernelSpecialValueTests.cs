using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>Infinities, NaN, masks and ignored rows, each at the edges of a row and in its body.</summary>
[Parallelizable]
public unsafe class KernelSpecialValueTests
{
    private const double Inf = double.PositiveInfinity;

    /// <summary>Long enough for tiles in every kernel.</summary>
    private const int Vocabulary = 3001;

    private static readonly ReferenceTokenLossKernel s_reference = new();

    [Test]
    public void SpecialValuesStayInTheirRow([Values] ElementType type, [Values(5, Vocabulary)] int vocabulary)
    {
        double[] plain = [.. Enumerable.Range(0, vocabulary).Select(i => i == 3 ? 2.0 : i % 3 * 0.5)];
        double[] nan = With(plain, vocabulary / 2, double.NaN);
        double[] infinite = With(plain, vocabulary / 2, Inf);
        double[] masked = [.. plain.Select(_ => -Inf)];
        double[] logits = [.. plain, .. nan, .. plain, .. masked, .. infinite, .. plain];
        double[] reference = [.. plain, .. plain, .. plain, .. plain, .. plain, .. nan];
        using var run = new KernelRun(LossObjective.Asft(), logits, reference, [0, 0, 0, 0, 0, 0], type);
        run.Forward(MachineKernel.Get());
        double[] loss = run.Read(run.Outputs.Loss);
        Assert.That(loss.Select(double.IsNaN), Is.EqualTo(new[] { false, true, false, true, true, true }));
        double[] gradient = run.ReadMatrix(run.Gradient);
        for (int row = 0; row < 6; row++)
        {
            bool[] isNaN = [.. gradient[(row * vocabulary)..((row + 1) * vocabulary)].Select(double.IsNaN)];
            Assert.That(isNaN, Is.All.EqualTo(double.IsNaN(loss[row])), $"row {row}");
        }

        Assert.That(run.Predicted, Is.EqualTo(new long[] { 3, -1, 3, 0, -1, 3 }));
    }

    /// <summary>A softcap bounds numbers, infinite ones too; NaN it leaves alone.</summary>
    [Test]
    public void ASoftcapMakesNoNumberOfNaN([Values] ElementType type)
    {
        double[] plain = [.. Enumerable.Range(0, Vocabulary).Select(i => i % 3 * 0.5)];
        double[] logits = [.. plain, .. With(plain, 1500, double.NaN), .. With(plain, 1500, Inf)];
        using var run = new KernelRun(LossObjective.Sft with { LogitSoftcap = 5 }, logits, null, [0, 0, 0], type);
        run.Forward(MachineKernel.Get());
        Assert.That(run.Read(run.Outputs.Loss).Select(double.IsNaN), Is.EqualTo(new[] { false, true, false }));
        double[] gradient = run.ReadMatrix(run.Gradient);
        Assert.That(gradient[..Vocabulary].Concat(gradient[(2 * Vocabulary)..]), Has.None.NaN);
        Assert.That(gradient[Vocabulary..(2 * Vocabulary)], Is.All.NaN);
    }

    [Test]
    public void MasksAgreeWithTheReference(
        [Values] ElementType type, [Values] KlDirection direction, [Values(0.0, 0.1)] double smoothing, [Values] BlocksOfARow blocks)
    {
        // Padding of the vocabulary at the end, and single entries elsewhere, masked in both models.
        const int Wide = 18_003;
        var random = new Random(9);
        var logits = new double[2 * Wide];
        var reference = new double[2 * Wide];
        for (int i = 0; i < logits.Length; i++)
        {
            bool masked = i % Wide > Wide - 700 || (i % Wide > 5 && random.Next(400) == 0);
            logits[i] = masked ? -Inf : random.Next(-64, 65) / 16.0;
            reference[i] = masked ? -Inf : logits[i] + (random.Next(-8, 9) / 16.0);
        }

        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LabelSmoothing = smoothing };
        Agree(objective, logits, reference, [2, 5], type, blocks);
    }

    [Test]
    public void OneMaskedEntryAtAnyPlace([Values] KlDirection direction, [Values(0, 1, 63, 64, 700, 2999, 3000)] int at, [Values] bool inPlace)
    {
        double[] logits = [.. Enumerable.Range(0, Vocabulary).Select(i => i % 40 / 8.0)];
        double[] reference = [.. Enumerable.Range(0, Vocabulary).Select(i => i % 41 / 8.0)];
        logits[at] = reference[at] = -Inf;
        Agree(LossObjective.Asft() with { KlDirection = direction }, logits, reference, [100], ElementType.BFloat16, BlocksOfARow.One, inPlace);
    }

    [Test]
    public void AMaskOfThePolicyAloneDoesNotMindTheReverseDirection([Values(3, 700)] int at)
    {
        double[] logits = [.. Enumerable.Range(0, Vocabulary).Select(i => i % 40 / 8.0)];
        double[] masked = With(logits, at, -Inf);
        LossObjective reverse = LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse };
        Agree(reverse, masked, logits, [100], ElementType.Float32, BlocksOfARow.One);
        Agree(LossObjective.SftKl(1), logits, masked, [100], ElementType.Float32, BlocksOfARow.One);
    }

    [Test]
    public void MassThatThePolicyExcludesIsAnInfiniteForwardKl([Values(1, 700)] int at, [Values] BlocksOfARow blocks)
    {
        double[] logits = [.. Enumerable.Range(0, 18_003).Select(i => i % 40 / 8.0)];
        using var run = new KernelRun(LossObjective.SftKl(1), With(logits, at, -Inf), logits, [5], ElementType.Float32);
        run.Forward(MachineKernel.Get(blocks));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.EqualTo(Inf));
        Assert.That(run.Read(run.Outputs.Loss)[0], Is.EqualTo(Inf));
        Assert.That(run.ReadMatrix(run.Gradient), Is.All.Matches<double>(double.IsFinite));
    }

    [Test]
    public void AnInfiniteTermStaysInfiniteWhereverTheMaximaLie([Values] KlDirection direction, [Values(0, 700, 2999)] int at)
    {
        // Maxima that rise through the row rescale the sum that holds the infinity.
        double[] rising = [.. Enumerable.Range(0, 3000).Select(i => i / 60.0)];
        double[] masked = With(rising, at, -Inf);
        bool forward = direction == KlDirection.Forward;
        using var run = new KernelRun(
            LossObjective.SftKl(1) with { KlDirection = direction }, forward ? masked : rising, forward ? rising : masked, [5], ElementType.Float32);
        run.Forward(MachineKernel.Get());
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.EqualTo(Inf));
    }

    [Test]
    public void MaximaThatRiseThroughTheRow([Values] ElementType type, [Values] KlDirection direction, [Values] BlocksOfARow blocks)
    {
        double[] logits = [.. Enumerable.Range(0, 18_003).Select(i => Math.Round(i / 36.0) / 16.0 * 3)];
        double[] reference = [.. logits.Select((x, i) => x + ((i % 5) / 8.0) - (i > 9000 ? 1 : 0))];
        Agree(LossObjective.Asft(1) with { KlDirection = direction }, logits, reference, [17_000], type, blocks);
        Agree(LossObjective.Asft(1) with { KlDirection = direction }, [.. Enumerable.Reverse(logits)], [.. Enumerable.Reverse(reference)], [40], type, blocks);
    }

    [Test]
    public void AnInfiniteWeightOrReverseDivergenceLeavesNoGradient()
    {
        var weighted = new LossObjective { Weighting = TokenWeighting.ImportanceRatio };
        using var weight = new KernelRun(weighted, [1, 2, -200], [-Inf, 1, 2], [0], ElementType.Float32);
        weight.Forward(MachineKernel.Get());
        Assert.That(weight.Read(weight.Outputs.Weight)[0], Is.EqualTo(Inf));
        Assert.That(weight.ReadMatrix(weight.Gradient), Is.All.NaN);

        LossObjective reverse = LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse };
        using var divergence = new KernelRun(reverse, [1, 2, -200], [-Inf, 1, 2], [1], ElementType.Float32);
        divergence.Forward(MachineKernel.Get());
        Assert.That(divergence.Read(divergence.Outputs.Kl)[0], Is.EqualTo(Inf));
        Assert.That(divergence.ReadMatrix(divergence.Gradient), Is.All.NaN);
    }

    [Test]
    public void TheLowestFiniteNumberMasksToo([Values] KlDirection direction, [Values(4, Vocabulary)] int vocabulary)
    {
        // As masks are often written: minus infinity itself is not needed.
        double[] logits = [.. Enumerable.Range(0, vocabulary).Select(i => i == 0 ? 1 : i == 2 ? 2 : float.MinValue)];
        using var run = new KernelRun(LossObjective.Asft() with { KlDirection = direction }, logits, logits, [0], ElementType.Float32);
        run.Forward(MachineKernel.Get());
        Assert.That(run.Read(run.Outputs.LogSumExp)[0], Is.EqualTo(2.3132617).Within(2e-6));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.Zero);
        Assert.That(run.ReadMatrix(run.Gradient), Is.All.Matches<double>(double.IsFinite));
    }

    [Test]
    public void HugeLogits([Values(1e4, -1e4, 3e38)] double offset, [Values] KlDirection direction, [Values(4, 2052)] int vocabulary)
    {
        double[] logits = [.. Enumerable.Range(0, vocabulary).Select(i => i % 4 == 2 ? -3e38 : offset)];
        using var run = new KernelRun(LossObjective.Asft() with { KlDirection = direction }, logits, logits, [0], ElementType.Float32);
        run.Forward(MachineKernel.Get());
        double logProbability = -Math.Log(vocabulary * 3 / 4.0);
        Assert.That(run.Read(run.Outputs.LogProbability)[0], Is.EqualTo(logProbability).Within(2e-6));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.Zero);
        double p = Math.Exp(logProbability);
        double[] wanted = [.. logits.Select((x, i) => p * (i == 0 ? p - 1 : i % 4 == 2 ? 0 : p))];
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), wanted, ElementType.Float32, "gradient");
    }

    [Test]
    public void HugeLogitsBackward([Values(1024.0, 8192.0)] double offset, [Values] KlDirection direction)
    {
        double[] logits = [.. Enumerable.Range(0, 2052).Select(i => offset + (i % 7))];
        double[] reference = [.. Enumerable.Range(0, 2052).Select(i => (i % 9) - offset)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        using var once = new KernelRun(objective, logits, reference, [3], ElementType.Float64);
        once.Forward(s_reference);
        using var run = new KernelRun(objective, logits, reference, [3], ElementType.Float32);
        MachineKernel kernel = MachineKernel.Get();
        kernel.Forward(run.Problem, run.Outputs, default);

        // The saved log-sum-exps are rounded to float32: give the exact ones' nearest, and allow for what that loses.
        run.Backward(kernel, [1]);
        Tolerance.AssertClose(run.ReadMatrix(run.Gradient), once.ReadMatrix(once.Gradient), 2e-6, 1e-3, "gradient");
    }

    [Test]
    public void IgnoredRowsAreNotRead([Values] ElementType type, [Values] bool inPlace, [Values] BlocksOfARow blocks)
    {
        // The machine does not know the memory of ignored rows: reading them would be a fault.
        var test = new RandomCase(LossObjective.Asft(), 4, 18_003, type, type, 5, inPlace, 7);
        using KernelRun run = test.Run();
        run.Problem.Labels[1] = run.Problem.Labels[3] = -100;
        run.Forward(MachineKernel.Get(blocks), inPlace);
        double[] gradient = run.ReadMatrix(inPlace ? run.Logits : run.Gradient);
        foreach (int row in new[] { 1, 3 })
        {
            Assert.That(gradient[(row * 18_003)..((row + 1) * 18_003)], Is.All.Zero);
            Assert.That(run.Read(run.Outputs.Loss)[row], Is.Zero);
            Assert.That(run.Read(run.Outputs.LogSumExp)[row], Is.Zero);
            Assert.That(run.Predicted[row], Is.EqualTo(-1));
        }
    }

    [Test]
    public void AReferenceThatTheObjectiveDoesNotNeedIsNotRead() =>
        KernelPromises.AReferenceThatTheObjectiveDoesNotNeedIsNotRead(MachineKernel.Get());

    [Test]
    public void ADivergenceThatIsOnlyLookedAtHasNoPartInTheGradient([Values] KlDirection direction, [Values] BlocksOfARow blocks)
    {
        const int Wide = 18_003;
        double[] logits = [.. Enumerable.Range(0, Wide).Select(i => i % 40 / 8.0)];
        LossObjective objective = LossObjective.Dft with { KlDirection = direction };
        using var with = new KernelRun(objective, logits, [.. logits.Select(_ => double.NaN)], [5], ElementType.Float32);
        using var without = new KernelRun(objective, logits, null, [5], ElementType.Float32);
        with.Forward(MachineKernel.Get(blocks));
        without.Forward(MachineKernel.Get(blocks));
        Assert.That(with.Read(with.Outputs.Kl)[0], Is.NaN);
        Tolerance.AssertGradient(with.ReadMatrix(with.Gradient), without.ReadMatrix(without.Gradient), ElementType.Float32, "gradient");
        Assert.That(with.Read(with.Outputs.Loss), Is.EqualTo(without.Read(without.Outputs.Loss)).Within(1e-6));
    }

    [Test]
    public void NoRowsAndOnlyIgnoredRows()
    {
        using var none = new KernelRun(LossObjective.Sft, [], null, [], ElementType.Float32);
        Assert.DoesNotThrow(() => MachineKernel.Get().Forward(WithVocabulary(none.Problem), none.Outputs, default));

        using var ignored = new KernelRun(LossObjective.Sft, [1, 2, 3, 4], null, [-100, -100], ElementType.Float32);
        ignored.Forward(MachineKernel.Get());
        Assert.That(ignored.Read(ignored.Outputs.Loss), Is.All.Zero);
        Assert.That(ignored.ReadMatrix(ignored.Gradient), Is.All.Zero);
    }

    private static TokenProblem WithVocabulary(in TokenProblem problem) => new()
    {
        Objective = problem.Objective,
        Rows = problem.Rows,
        Vocabulary = 4,
        Logits = problem.Logits,
        Labels = problem.Labels,
    };

    private static void Agree(
        LossObjective objective, double[] logits, double[] reference, long[] labels, ElementType type, BlocksOfARow blocks, bool inPlace = false)
    {
        using var run = new KernelRun(objective, logits, reference, labels, type, padding: 5);
        using var exact = new KernelRun(
            objective, run.ReadMatrix(run.Logits), run.ReadMatrix(run.Problem.Reference), labels, ElementType.Float64);
        exact.Forward(s_reference);
        run.Forward(MachineKernel.Get(blocks), inPlace);
        new RandomCase(objective, labels.Length, logits.Length / labels.Length, type, type, 0, inPlace, 0).AssertAgree(run, exact, 1);
    }

    private static double[] With(double[] values, int at, double value)
    {
        double[] copy = [.. values];
        copy[at] = value;
        return copy;
    }
}
