using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>What the kernels of most losses leave out: entropies, and references of which the most likely entries are known.</summary>
[Parallelizable]
public unsafe class KernelCompleteTests
{
    private static readonly ReferenceTokenLossKernel s_reference = new();

    /// <summary>Of many logits, some far above the others, and with a workspace where the caller wants no states.</summary>
    [Test]
    public void TheEntropyOfLanguageModelLogits([Values] ElementType type, [Values(0.0, 30.0)] double softcap, [Values] bool keepsStates)
    {
        using KernelRun model = FigureTests.Problem(type, 20_003, KlDirection.Forward, rows: 2);
        var objective = new LossObjective { Weighting = TokenWeighting.Entropy, LogitSoftcap = softcap };
        double[] logits = model.ReadMatrix(model.Logits);
        using var exact = new KernelRun(objective, logits, null, [5, 20_002], ElementType.Float64, entropy: true);
        using var run = new KernelRun(objective, logits, null, [5, 20_002], type, entropy: true);
        exact.Forward(s_reference);
        TokenOutputs outputs = keepsStates ? run.Outputs : run.Outputs with { State = null };
        MachineKernel.Get().Forward(run.Problem, outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 });
        new RandomCase(objective, 2, 20_003, type, type, 0, false, 0).AssertAgree(run, exact, 1);
    }

    /// <summary>Whether a column is an entry is known for a window of them at a time: entries at both sides of its ends, and more than threads.</summary>
    [Test]
    [Pairwise]
    public void EntriesAnywhereInARow(
        [Values] ElementType type, [Values] KlDirection direction, [Values(0L, 8192L, 9000L)] long label, [Values] bool inPlace, [Values(0, 700)] int more)
    {
        const int Vocabulary = 20_003;
        double[] logits = [.. Enumerable.Range(0, Vocabulary).Select(i => i % 29 / 8.0)];
        long[] indices = [8192, 0, 20_002, 8191, 16_384, 16_383, 511, 512, .. Enumerable.Range(10_001, more).Select(i => (long)i)];
        LossObjective objective = LossObjective.Asft(0.5) with { KlDirection = direction, LogitSoftcap = 4, LabelSmoothing = 0.1 };
        Agree(objective, logits, indices, [.. indices.Select((_, i) => Math.Log(0.9 / indices.Length) - (i % 3))], label, type, inPlace);
    }

    /// <summary>Nearly all mass is in the entries: what is left of a sum of everything would be its rounding, or nothing.</summary>
    [Test]
    [Pairwise]
    public void ATailOfNextToNothingKeepsItsDigits(
        [Values(10.0, 25.0, 120.0, 300.0)] double gap, [Values] KlDirection direction, [Values(2L, 1000L)] long label, [Values] bool inPlace)
    {
        double[] logits = [.. Enumerable.Range(0, 3000).Select(i => i == 2 ? gap : i == 7 ? gap - 1 : i % 16 / 8.0)];
        LossObjective objective = LossObjective.SftKl(0.5) with { KlDirection = direction };
        Agree(objective, logits, [7, 2], [Math.Log(0.3), Math.Log(0.6)], label, ElementType.Float32, inPlace);
    }

    /// <summary>Points that base 2 cannot hold, and masks, written as numbers and as infinities.</summary>
    [Test]
    public void LogitsOfEverySize([Values(1e10, -1e10, 3e38)] double offset, [Values] KlDirection direction, [Values(-3e38, double.NegativeInfinity)] double mask)
    {
        double[] logits = [.. Enumerable.Range(0, 600).Select(i => i % 4 == 2 ? mask : offset)];
        LossObjective objective = LossObjective.SftKl(0.5) with { KlDirection = direction };
        Agree(objective, logits, [0, 9, 100], [-6, -6.5, -7], 5, ElementType.Float32, inPlace: false);
    }

    /// <summary>Factors above which float32 shows its rounding.</summary>
    [Test]
    public void LargeFactors([Values] KlDirection direction)
    {
        double[] logits = [.. Enumerable.Range(0, 3000).Select(i => i == 2 ? 9.0 : i % 16 / 8.0)];
        LossObjective objective = LossObjective.SftKl(300) with { KlDirection = direction };
        Agree(objective, logits, [7, 2], [Math.Log(0.2), Math.Log(0.7)], 2, ElementType.Float32, inPlace: false);
        LossObjective steep = new() { Weighting = TokenWeighting.Entropy, WeightExponent = 9, EntropyScale = 2 };
        Agree(steep, logits, [7, 2], [Math.Log(0.2), Math.Log(0.7)], 2, ElementType.Float32, inPlace: false);
    }

    /// <summary>Weights of the caller's own, within the objective's bounds.</summary>
    [Test]
    [Pairwise]
    public void GivenWeightsStandForTheObjectives([Values] ElementType type, [Values] BlocksOfARow blocks, [Values] WeightBound bound)
    {
        var objective = new LossObjective { Weighting = TokenWeighting.Probability, WeightMin = 0.5, WeightMax = 50, WeightBound = bound };
        double[] logits = [.. Enumerable.Range(0, 3 * 18_003).Select(i => i % 41 / 8.0)];
        using var exact = new KernelRun(objective, logits, null, [5, 6, 7], ElementType.Float64, givenWeights: [0.25, 2, 40]);
        using var run = new KernelRun(objective, logits, null, [5, 6, 7], type, givenWeights: [0.25, 2, 40]);
        exact.Forward(s_reference);
        run.Forward(MachineKernel.Get(blocks));
        new RandomCase(objective, 3, 18_003, type, type, 0, false, 0).AssertAgree(run, exact, 40);
    }

    /// <summary>An ignored row has no entropy, and one whose label is out of range has no number for one.</summary>
    [Test]
    public void RowsThatAreNotComputed()
    {
        MachineKernel kernel = MachineKernel.Get();
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3, 4, 5, 6], null, [-100, 1, 9], ElementType.Float32, entropy: true);
        kernel.Shown.Forward(run.Problem, run.Outputs, default);
        Assert.Throws<ArgumentOutOfRangeException>(kernel.ThrowIfFaulted);
        Assert.That(run.Read(run.Outputs.Entropy)[0], Is.Zero);
        Assert.That(run.Read(run.Outputs.SquaredProbabilitySum)[0], Is.Zero);
        Assert.That(run.Read(run.Outputs.Entropy)[1], Is.EqualTo(0.5822).Within(1e-4));
        Assert.That(run.Read(run.Outputs.Entropy)[2], Is.NaN);
        Assert.That(run.Read(run.Outputs.SquaredProbabilitySum)[2], Is.NaN);
    }

    /// <summary>One row, against the reference implementation: at once, backward, and in shards.</summary>
    private static void Agree(
        LossObjective objective, double[] logits, long[] indices, double[] logProbabilities, long label, ElementType type, bool inPlace)
    {
        double[] logs = [.. logProbabilities.Select(log => (double)(float)log)];
        using KernelRun run = Run(type);
        using var exact = new KernelRun(
            objective, run.ReadMatrix(run.Logits), null, [label], ElementType.Float64, topKIndices: indices, topKLogProbabilities: logs, entropy: true);
        exact.Forward(s_reference, scale: 0.5);
        var test = new RandomCase(objective, 1, logits.Length, type, type, 0, inPlace, 0);
        run.Forward(MachineKernel.Get(), inPlace, scale: 0.5);
        test.AssertAgree(run, exact, 1);

        using KernelRun later = Run(type);
        MachineKernel.Get().Forward(later.Problem, later.Outputs, default);
        later.Backward(MachineKernel.Get(), [0.5], inPlace);
        test.AssertAgree(later, exact, 1);

        using KernelRun shards = Run(type);
        int third = logits.Length / 3;
        KernelPromises.InShards(MachineKernel.Get(), shards, [0, third, third + 1, logits.Length], 0.5, inPlace, scale: 1);
        test.AssertAgree(shards, exact, 1);

        KernelRun Run(ElementType stored) =>
            new(objective, logits, null, [label], stored, topKIndices: indices, topKLogProbabilities: logs, entropy: true);
    }
}
