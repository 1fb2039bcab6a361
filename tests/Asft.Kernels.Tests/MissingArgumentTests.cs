using Asft.Kernels.Ilgpu;

namespace Asft.Kernels.Tests;

/// <summary>A call with something missing or wrong: the exception names it, and nothing is read or written.</summary>
public unsafe class MissingArgumentTests
{
    private static readonly LossObjective s_ratio = new() { Weighting = TokenWeighting.ImportanceRatio };

    private static readonly Lazy<ITokenLossKernel> s_ilgpu = new(static () => new IlgpuTokenLossKernel(IlgpuDevice.All.First(device => device.Id == "ilgpu:cpu")));

    private static IEnumerable<string> Names => [.. AllKernels.Names, "ilgpu"];

    [TestCaseSource(nameof(Names))]
    public void AMissingReference(string name)
    {
        foreach (LossObjective objective in (LossObjective[])[LossObjective.Asft(), s_ratio])
        {
            using var run = new KernelRun(objective, [1, 2, 3], null, [0], ElementType.Float32);
            Refuses<ArgumentException>(run, "Reference", () => Kernel(name).Forward(run.Problem, run.Outputs, default));
        }

        using var anchored = new KernelRun(LossObjective.Asft(), [1, 2, 3], null, [0], ElementType.Float32);
        Refuses<ArgumentException>(anchored, "Reference", () => anchored.Backward(Kernel(name), [1]));
    }

    [TestCaseSource(nameof(Names))]
    public void MissingSavedOutputs(string name)
    {
        using var run = new KernelRun(LossObjective.Asft(), [1, 2, 3], [1, 2, 3], [0], ElementType.Float32);
        TokenOutputs all = run.Outputs;
        TokenGradient gradient = new() { Logits = run.Gradient, Scale = 1 };
        if (name != "reference") // which computes everything again
        {
            Refuses<ArgumentException>(run, "State", () => Kernel(name).Backward(run.Problem, all with { State = null }, gradient));
        }

        Refuses<ArgumentException>(run, "gradient", () => Kernel(name).Backward(run.Problem, all, default));
    }

    [TestCaseSource(nameof(Names))]
    public void MissingLogitsLabelsAndObjective(string name)
    {
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3], null, [0], ElementType.Float32);
        Both<ArgumentException>(run, name, "Labels", run.Problem with { Labels = null });
        Both<ArgumentException>(run, name, "Logits", run.Problem with { Logits = default });
        Both<ArgumentException>(run, name, "Objective", run.Problem with { Objective = null! });
    }

    [TestCaseSource(nameof(Names))]
    public void SizesThatAreNone(string name)
    {
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3], null, [0], ElementType.Float32);
        Both<ArgumentOutOfRangeException>(run, name, "Rows", run.Problem with { Rows = -1 });
        Both<ArgumentOutOfRangeException>(run, name, "Vocabulary", run.Problem with { Vocabulary = 0 });
        Both<ArgumentOutOfRangeException>(run, name, "Vocabulary", run.Problem with { Vocabulary = -5 });
    }

    [TestCaseSource(nameof(Names))]
    public void TypesAndStridesThatDoNotFit(string name)
    {
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3], null, [0], ElementType.Float32);
        foreach (ElementType type in (ElementType[])[ElementType.Float64, ElementType.Float16, ElementType.BFloat16])
        {
            var other = new TokenGradient { Logits = new LogitMatrix(run.Gradient.Data, type, 3), Scale = 1 };
            Refuses<ArgumentException>(run, $"{type}", () => Kernel(name).Forward(run.Problem, run.Outputs, other));
            Refuses<ArgumentException>(run, $"{type}", () => Kernel(name).Backward(run.Problem, run.Outputs, other));
        }

        Both<ArgumentException>(run, name, "element type 9", run.Problem with { Logits = new LogitMatrix(run.Logits.Data, (ElementType)9, 3) });
        var strided = new TokenGradient { Logits = run.Gradient, Scale = 1, UpstreamStride = 2 };
        Refuses<ArgumentException>(run, "UpstreamStride", () => Kernel(name).Backward(run.Problem, run.Outputs, strided));
    }

    [TestCaseSource(nameof(Names))]
    public void StatesThatAreMissing(string name)
    {
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3], null, [0], ElementType.Float32);
        RowState* states = run.Outputs.State;
        Refuses<ArgumentException>(run, "states", () => Kernel(name).Summarize(run.Problem, null));
        Refuses<ArgumentException>(run, "states", () => Kernel(name).Merge(run.Problem, null, states));
        Refuses<ArgumentException>(run, "others", () => Kernel(name).Merge(run.Problem, states, null));
        Refuses<ArgumentException>(run, "outputs", () => Kernel(name).Finish(run.Problem, run.Outputs with { State = null }));
    }

    [TestCaseSource(nameof(Names))]
    public void ShardsThatAreNone(string name)
    {
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3], null, [0], ElementType.Float32);
        RowState* states = run.Outputs.State;
        TokenProblem beyond = run.Problem with { FirstColumn = 8, WholeVocabulary = 10 };
        Refuses<ArgumentOutOfRangeException>(run, "[8, 11)", () => Kernel(name).Summarize(beyond, states));
        Refuses<ArgumentOutOfRangeException>(run, "[-1, 2)", () => Kernel(name).Summarize(beyond with { FirstColumn = -1 }, states));
        Refuses<ArgumentOutOfRangeException>(run, "vocabulary of 2", () => Kernel(name).Summarize(run.Problem with { WholeVocabulary = 2 }, states));
        Refuses<ArgumentException>(run, "3 of 10", () => Kernel(name).Forward(run.Problem with { WholeVocabulary = 10 }, run.Outputs, default));
    }

    /// <summary>A label is one of the whole vocabulary, wherever the shard lies.</summary>
    [TestCaseSource(nameof(Names))]
    public void LabelsOfNoShard(string name)
    {
        using var run = new KernelRun(LossObjective.Sft, [1, 2, 3], null, [10], ElementType.Float32);
        RowState* states = run.Outputs.State;
        TokenProblem shard = run.Problem with { FirstColumn = 7, WholeVocabulary = 10 };
        Refuses<ArgumentOutOfRangeException>(run, "labels[0] is 10", () => Kernel(name).Summarize(shard, states));
        Refuses<ArgumentOutOfRangeException>(run, "[0, 10)", () => Kernel(name).Finish(shard, run.Outputs));
    }

    /// <summary>Where there are no rows, there is nothing to point to.</summary>
    [TestCaseSource(nameof(Names))]
    public void NoRowsNeedNothing(string name)
    {
        var problem = new TokenProblem { Objective = LossObjective.Asft(), Rows = 0, Vocabulary = 3, Logits = default, Labels = null };
        Assert.That(() => Kernel(name).Forward(problem, default, default), Throws.Nothing);
        Assert.That(() => Kernel(name).Summarize(problem, null), Throws.Nothing);
        Assert.That(() => Kernel(name).Merge(problem, null, null), Throws.Nothing);
        Assert.That(() => Kernel(name).Finish(problem, default), Throws.Nothing);
        Assert.That(() => Kernel(name).Backward(problem, default, default), Throws.Nothing);
    }

    private static ITokenLossKernel Kernel(string name) => name == "ilgpu" ? s_ilgpu.Value : AllKernels.Named(name);

    private static void Both<T>(KernelRun run, string name, string what, TokenProblem problem)
        where T : ArgumentException
    {
        TokenGradient gradient = new() { Logits = run.Gradient, Scale = 1 };
        Refuses<T>(run, what, () => Kernel(name).Forward(problem, run.Outputs, gradient));
        Refuses<T>(run, what, () => Kernel(name).Backward(problem, run.Outputs, gradient));
    }

    private static void Refuses<T>(KernelRun run, string what, Action call)
        where T : ArgumentException
    {
        byte[] before = run.Bits();
        T error = Assert.Throws<T>(call)!;
        Assert.That(error.Message, Does.Contain(what));
        Assert.That(run.Bits(), Is.EqualTo(before));
    }
}
