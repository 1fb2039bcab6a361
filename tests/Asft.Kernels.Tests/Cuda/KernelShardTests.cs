using Asft.Kernels.Reference;
using CsCheck;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>Rows whose columns are apart: their states, merged, and what follows from them. Ignored rows are not shown to the machine.</summary>
[Parallelizable]
public unsafe class KernelShardTests
{
    private static readonly double[] s_mask = [.. Enumerable.Repeat(double.NegativeInfinity, 300)];

    private static readonly double[] s_logits = [.. Enumerable.Range(0, 300).Select(i => (i % 40 / 8.0) - 2)];

    [Test]
    public void ShardsGiveTheWholeRow() => RandomCase.Any.ForEach(
        RandomCase.Cases(30), test => KernelPromises.ShardsGiveTheWholeRow(MachineKernel.Get(), test), threads: 1);

    [Test]
    public void SoDoThoseOfModelsThatDisagree() => RandomCase.Wide.ForEach(
        RandomCase.Cases(30), test => KernelPromises.ShardsGiveTheWholeRow(MachineKernel.Get(), test), threads: 1);

    [Test]
    public void EveryFiniteLogitIsExact(
        [Values("sft", "dft", "asft", "reverse", "ratio", "smoothing", "softcap", "scale")] string objective, [Values] ElementType type) =>
        FiniteSweep.AssertExact(MachineKernel.Get(), objective, type, 260, every: 61, shards: true);

    /// <summary>A shard in which one model or both mask everything has no maximum, and changes nothing.</summary>
    [Test]
    public void AShardWithoutAnUnmaskedLogit([Values(0, 1, 2)] int masked, [Values] KlDirection direction, [Values(0.0, 0.1)] double smoothing)
    {
        LossObjective objective = LossObjective.Asft(0.5) with { KlDirection = direction, LabelSmoothing = smoothing };
        double[][] parts = [s_logits, s_logits, s_logits];
        parts[masked] = s_mask;
        double[] logits = [.. parts.SelectMany(part => part)];
        double[] reference = [.. logits.Select((x, i) => x + (i % 7 / 8.0))];
        long label = ((masked + 1) % 3 * 300) + 5;
        ReferenceRow exact = ReferenceRow.Evaluate(objective, logits, reference, label);
        using var run = new KernelRun(objective, logits, reference, [label], ElementType.Float32);
        KernelPromises.InShards(MachineKernel.Get(), run, [0, 300, 600, 900], 1, inPlace: false, scale: 1);
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), [exact.Loss], ElementType.Float32, "loss");
        Assert.That(run.Predicted, Is.EqualTo(new[] { exact.Predicted }));
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), exact.Gradient, ElementType.Float32, "gradient");
    }

    /// <summary>Where the policy masks what the reference does not, a forward divergence is infinite, whichever shard it is in.</summary>
    [Test]
    public void AShardThatThePolicyAloneMasks([Values(0, 1)] int masked)
    {
        double[][] parts = [s_logits, s_logits];
        parts[masked] = s_mask;
        using var run = new KernelRun(
            LossObjective.SftKl(0.5), [.. parts[0], .. parts[1]], [.. s_logits, .. s_logits], [((1 - masked) * 300) + 5], ElementType.BFloat16);
        KernelPromises.InShards(MachineKernel.Get(), run, [0, 300, 600], 1, inPlace: false, scale: 1);
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.EqualTo(double.PositiveInfinity));
        Assert.That(run.Read(run.Outputs.LogSumExp)[0], Is.EqualTo(Math.Log(s_logits.Sum(Math.Exp))).Within(1e-5));
    }

    /// <summary>In reverse, mass of the policy where the reference has none counts for nothing once another shard has taken all of it.</summary>
    [Test]
    public void AnInfiniteTermWithoutWeightIsGone()
    {
        double[] logits = [.. s_logits, .. s_logits.Select(x => x + 1000)];
        double[] reference = [.. s_mask, .. s_logits];
        LossObjective objective = LossObjective.SftKl(0.5) with { KlDirection = KlDirection.Reverse };
        ReferenceRow exact = ReferenceRow.Evaluate(objective, logits, reference, 302);
        using var run = new KernelRun(objective, logits, reference, [302], ElementType.Float32);
        KernelPromises.InShards(MachineKernel.Get(), run, [0, 300, 600], 1, inPlace: false, scale: 1);
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), [exact.Loss], ElementType.Float32, "loss");
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), exact.Gradient, ElementType.Float32, "gradient");
    }

    [Test]
    public void OfEqualLogitsInSeveralShardsTheFirstIsPredicted([Values(3, 350, 700)] int first)
    {
        double[] logits = new double[900];
        foreach (int later in new[] { first, 350, 700, 899 })
        {
            logits[Math.Max(first, later)] = 4;
        }

        using var run = new KernelRun(LossObjective.Sft, logits, null, [0], ElementType.Float16);
        KernelPromises.InShards(MachineKernel.Get(), run, [0, 300, 600, 900], 1, inPlace: false, scale: 1);
        Assert.That(run.Predicted, Is.EqualTo(new long[] { first }));
    }

    /// <summary>A label of another shard is none out of range, one beyond the whole vocabulary is.</summary>
    [Test]
    public void ALabelOutOfRangeMakesItsRowNaNAndSurfacesWhereItIsAskedFor([Values(-1L, 900L, 1L << 32)] long label)
    {
        MachineKernel kernel = MachineKernel.Get();
        using var run = new KernelRun(
            LossObjective.Sft, [.. Enumerable.Repeat(s_logits, 9).SelectMany(x => x)], null, [5, label, 899], ElementType.Float32);
        TokenProblem shard = run.Problem with { Vocabulary = 300, WholeVocabulary = 900, FirstColumn = 300 };
        kernel.Shown.Summarize(shard, run.Outputs.State);
        Assert.That(
            Assert.Throws<ArgumentOutOfRangeException>(kernel.ThrowIfFaulted)!.Message,
            Does.Contain($"labels[1] is {label}").And.Contain("[0, 900)"));
        Assert.That(run.Outputs.State[1].Sum, Is.NaN);
        Assert.That(run.Outputs.State[0].Sum, Is.Positive);
        Assert.That(run.Outputs.State[2].Sum, Is.EqualTo(run.Outputs.State[2].OtherSum).And.Positive, "the label is elsewhere");

        kernel.Shown.Finish(shard, run.Outputs);
        Assert.Throws<ArgumentOutOfRangeException>(kernel.ThrowIfFaulted);
        Assert.That(run.Read(run.Outputs.Loss).Select(double.IsNaN), Is.EqualTo(new[] { false, true, false }));
        run.Backward(kernel, [1], shard, run.Gradient, 1);
        Assert.That(run.ReadMatrix(run.Gradient).Chunk(900).Select(row => row[..300].All(double.IsNaN)), Is.EqualTo(new[] { false, true, false }));
    }

    [Test]
    public void IgnoredRowsHaveTheStateOfNoLogits()
    {
        using var run = new KernelRun(LossObjective.Asft(), [1, 2, 3, 4], [1, 2, 3, 4], [-100, 1], ElementType.Float32);
        MachineKernel kernel = MachineKernel.Get();
        kernel.Summarize(run.Problem, run.Outputs.State);
        Assert.That(run.Outputs.State[0], Is.EqualTo(default(RowState)));
        Assert.That(run.Outputs.State[1].Sum, Is.Positive);
        kernel.Finish(run.Problem, run.Outputs);
        Assert.That(run.Read(run.Outputs.Loss)[0], Is.Zero);
        Assert.That(run.Predicted, Is.EqualTo(new long[] { -1, 1 }));
    }

    /// <summary>What a caller made of the weights between loss and gradient is what counts.</summary>
    [Test]
    public void AWeightThatTheCallerReplacedScalesTheGradient([Values] ElementType type)
    {
        MachineKernel kernel = MachineKernel.Get();
        using KernelRun run = new RandomCase(LossObjective.Dft, 2, 300, type, type, 0, false, 3).Run();
        kernel.Forward(run.Problem, run.Outputs, default);
        run.Backward(kernel, [1]);
        double[] once = run.ReadMatrix(run.Gradient);
        for (int row = 0; row < 2; row++)
        {
            ScalarElement.Write(run.Outputs.Weight, run.Accumulator, row, 2 * run.Read(run.Outputs.Weight)[row]);
        }

        run.Backward(kernel, [1]);
        Assert.That(once, Has.Some.Not.Zero);
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), [.. once.Select(g => 2 * g)], type, "gradient");
    }

    /// <summary>More rows than a block has threads, of which the last block has few.</summary>
    [Test]
    public void ManyRows()
    {
        var test = new RandomCase(LossObjective.Asft() with { LabelSmoothing = 0.1 }, 150, 12, ElementType.Float32, ElementType.Float16, 0, false, 8);
        KernelPromises.ShardsGiveTheWholeRow(MachineKernel.Get(), test);
    }
}
