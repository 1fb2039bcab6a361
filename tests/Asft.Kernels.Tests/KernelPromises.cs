using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests;

/// <summary>What every kernel promises, whatever it runs on: the fixtures of the backends assert it of theirs.</summary>
internal static unsafe class KernelPromises
{
    private static readonly ReferenceTokenLossKernel s_reference = new();

    /// <summary>Loss and gradient in one call are those of the double-precision reference.</summary>
    public static void LossAndGradientAreExact(ITokenLossKernel kernel, RandomCase test)
    {
        using KernelRun exact = test.Run(exact: true);
        using KernelRun actual = test.Run();
        exact.Forward(s_reference, scale: 0.25);
        actual.Forward(kernel, test.InPlace, scale: 0.25);
        test.AssertAgree(actual, exact, 0.25);
    }

    /// <summary>So is the gradient from what was saved, for an upstream gradient of one number or of one for each row.</summary>
    public static void BackwardIsExact(ITokenLossKernel kernel, RandomCase test, bool scalar)
    {
        using KernelRun exact = test.Run(exact: true);
        using KernelRun actual = test.Run();
        var random = new Random(test.Seed);
        double[] upstream = [.. Enumerable.Range(0, scalar ? 1 : test.Rows).Select(_ => random.Next(-8, 9) / 4.0)];
        exact.Forward(s_reference);
        exact.Backward(s_reference, upstream, scale: 0.5);
        kernel.Forward(actual.Problem, actual.Outputs, default);
        actual.Backward(kernel, upstream, test.InPlace, scale: 0.5);
        test.AssertAgree(actual, exact, 2);
    }

    /// <summary>
    /// Summaries of a vocabulary cut at random places, merged, have the results of the whole rows, and their gradients are its columns.
    /// </summary>
    public static void ShardsGiveTheWholeRow(ITokenLossKernel kernel, RandomCase test)
    {
        using KernelRun exact = test.Run(exact: true);
        using KernelRun actual = test.Run();
        exact.Forward(s_reference);
        exact.Backward(s_reference, [-1.5], scale: 0.5);
        var random = new Random(test.Seed);
        int[] cuts = [0, .. Enumerable.Range(0, random.Next(5)).Select(_ => random.Next(test.Vocabulary)), test.Vocabulary];
        cuts = [.. cuts.Distinct().Order()];
        InShards(kernel, actual, cuts, -1.5, test.InPlace, scale: 0.5, keeps: random.Next(2) == 0);
        test.AssertAgree(actual, exact, 1);
    }

    /// <summary>Outputs and gradient of a problem whose vocabulary is cut into shards.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="run">The problem.</param>
    /// <param name="cuts">Where shards begin and end, from 0 to the vocabulary.</param>
    /// <param name="upstream">The upstream gradient.</param>
    /// <param name="inPlace">Whether the gradient takes the place of the logits.</param>
    /// <param name="scale">A further factor of the gradient.</param>
    /// <param name="keeps">Whether the summaries keep what the gradient can be made of.</param>
    public static void InShards(ITokenLossKernel kernel, KernelRun run, int[] cuts, double upstream, bool inPlace, double scale, bool keeps = false)
    {
        var others = (RowState*)run.Allocate(run.Problem.Rows * sizeof(RowState));
        KeptExponentials?[] kept = [.. cuts[1..].Select(_ => keeps ? new KeptExponentials() : null)];
        LogitMatrix gradient = inPlace ? run.Logits : run.Gradient;
        for (int shard = 0; shard < cuts.Length - 1; shard++)
        {
            TokenProblem problem = Shard(run.Problem, cuts[shard], cuts[shard + 1]);
            kernel.Summarize(
                problem,
                shard == 0 ? run.Outputs.State : others,
                new TokenGradient { Logits = Columns(gradient, cuts[shard]), Kept = kept[shard] });
            if (shard > 0)
            {
                kernel.Merge(problem, run.Outputs.State, others);
            }
        }

        kernel.Finish(Shard(run.Problem, 0, cuts[1]), run.Outputs);
        for (int shard = 0; shard < cuts.Length - 1; shard++)
        {
            run.Backward(kernel, [upstream], Shard(run.Problem, cuts[shard], cuts[shard + 1]), Columns(gradient, cuts[shard]), scale, kept[shard]);
            kept[shard]?.Dispose();
        }
    }

    private static TokenProblem Shard(TokenProblem whole, int first, int end) => new()
    {
        Objective = whole.Objective,
        Rows = whole.Rows,
        Vocabulary = end - first,
        WholeVocabulary = whole.Vocabulary,
        FirstColumn = first,
        Logits = Columns(whole.Logits, first),
        Reference = Columns(whole.Reference, first),
        LabelLogProbabilities = whole.LabelLogProbabilities,
        TopK = whole.TopK,
        Labels = whole.Labels,
        Weights = whole.Weights,
        GivenWeights = whole.GivenWeights,
    };

    private static LogitMatrix Columns(LogitMatrix matrix, int first) => matrix.IsNull
        ? default
        : new((byte*)matrix.Data + (first * matrix.Type.SizeInBytes()), matrix.Type, matrix.RowStride);

    /// <summary>Rows are found by their offsets, in any order.</summary>
    public static void RowsMayLieInAnyOrder(ITokenLossKernel kernel, int vocabulary, ElementType referenceType, int padding)
    {
        LossObjective objective = LossObjective.Asft();
        var test = new RandomCase(objective, 6, vocabulary, ElementType.Float32, referenceType, padding, false, 5);
        using KernelRun plain = test.Run();
        using KernelRun moved = test.Run();
        plain.Forward(kernel);

        // Row i of the moved problem is row order[i] of the plain one.
        long[] order = [2, 3, 4, 0, 5, 1];
        long* offsets = (long*)moved.Allocate(6 * sizeof(long));
        long* labels = (long*)moved.Allocate(6 * sizeof(long));
        for (int i = 0; i < 6; i++)
        {
            offsets[i] = order[i] * moved.Stride;
            labels[i] = moved.Problem.Labels[order[i]];
        }

        TokenProblem problem = new()
        {
            Objective = objective,
            Rows = 6,
            Vocabulary = vocabulary,
            Logits = new LogitMatrix(moved.Logits.Data, ElementType.Float32, offsets),
            Reference = new LogitMatrix(moved.Problem.Reference.Data, referenceType, offsets),
            Labels = labels,
        };
        TokenGradient gradient = new() { Logits = new LogitMatrix(moved.Gradient.Data, ElementType.Float32, offsets), Scale = 1 };
        kernel.Forward(problem, moved.Outputs, gradient);
        Assert.That(moved.ReadMatrix(moved.Gradient), Is.EqualTo(plain.ReadMatrix(plain.Gradient)));
        double[] loss = plain.Read(plain.Outputs.Loss);
        Assert.That(moved.Read(moved.Outputs.Loss), Is.EqualTo(order.Select(row => loss[row])));
    }

    /// <summary>Offsets cancel in the softmax; measured from zero, they would cancel in the sum instead, and take the digits with them.</summary>
    public static void AConstantOffsetDoesNotDisturbTheKl(ITokenLossKernel kernel, KlDirection direction, int vocabulary)
    {
        double[] logits = [.. Enumerable.Range(0, vocabulary).Select(i => (i % 64) / 16.0)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        using var run = new KernelRun(objective, logits, [.. logits.Select(x => x + 1000)], [5], ElementType.Float32);
        run.Forward(kernel);
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.LessThan(1e-6));
    }

    /// <summary>Each of the small probabilities is less than two units in the last place of the sum that holds the large one.</summary>
    public static void SmallProbabilitiesAreNotRoundedAway(ITokenLossKernel kernel)
    {
        double[] logits = [10, .. Enumerable.Range(1, 150_000).Select(i => -5.5 + ((i % 8) / 128.0))];
        double[] reference = [10, .. Enumerable.Range(1, 150_000).Select(i => -5.5 + ((i % 8) / 64.0))];
        using var exact = new KernelRun(LossObjective.Asft(), logits, reference, [0], ElementType.Float64);
        using var run = new KernelRun(LossObjective.Asft(), logits, reference, [0], ElementType.Float32);
        exact.Forward(s_reference);
        run.Forward(kernel);
        Tolerance.AssertOutputs(run.Read(run.Outputs.LogSumExp), exact.Read(exact.Outputs.LogSumExp), ElementType.Float32, "lse");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Kl), exact.Read(exact.Outputs.Kl), ElementType.Float32, "KL");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), exact.Read(exact.Outputs.Loss), ElementType.Float32, "loss");
    }

    /// <summary>The ignored row lies at an address that no process may read: doing so would end this one.</summary>
    public static void IgnoredRowsAreNotRead(ITokenLossKernel kernel)
    {
        double[] logits = [1, 2, 3, 4];
        using var run = new KernelRun(LossObjective.Sft, [.. logits, .. logits], null, [3, -100], ElementType.Float32);
        long* offsets = stackalloc long[] { 0, (64 - (nint)run.Logits.Data) / sizeof(float) };
        TokenProblem problem = new()
        {
            Objective = run.Problem.Objective,
            Rows = 2,
            Vocabulary = 4,
            Logits = new LogitMatrix(run.Logits.Data, ElementType.Float32, offsets),
            Labels = run.Problem.Labels,
        };
        kernel.Forward(problem, run.Outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 });
        Assert.That(run.Read(run.Outputs.Loss)[0], Is.EqualTo(0.4401897).Within(2e-6));
        Assert.That(run.Read(run.Outputs.Loss)[1], Is.Zero);
        Assert.That(run.Predicted, Is.EqualTo(new long[] { 3, -1 }));
        Assert.That(run.ReadMatrix(run.Gradient)[4..], Is.All.Zero);
    }

    /// <summary>The same of a reference that the objective does not need.</summary>
    public static void AReferenceThatTheObjectiveDoesNotNeedIsNotRead(ITokenLossKernel kernel)
    {
        using var run = new KernelRun(LossObjective.Dft, [1, 2, 3], null, [0], ElementType.Float32);
        TokenProblem problem = new()
        {
            Objective = LossObjective.Dft,
            Rows = 1,
            Vocabulary = 3,
            Logits = run.Logits,
            Reference = new LogitMatrix((void*)64, ElementType.Float32, 3),
            Labels = run.Problem.Labels,
        };
        TokenOutputs outputs = new() { Loss = run.Outputs.Loss };
        kernel.Forward(problem, outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 });
        Assert.That(run.Read(run.Outputs.Loss)[0], Is.EqualTo(0.21675815).Within(1e-6));
    }
}
