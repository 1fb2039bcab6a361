using System.Globalization;
using Asft.Kernels.Cuda;
using Asft.PtxVm;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>
/// What the shipped PTX does per logit, counted by the virtual machine: the memory it moves, how well it uses the sectors it asks for,
/// its instructions and its transcendental operations. So close to what the kernels do that a change for the worse fails; what the project
/// promises, <c>./build.sh bench --check</c> holds the counts of docs/gpu.md to.
/// </summary>
[Parallelizable]
public unsafe class FigureTests
{
    private const int Rows = 2;

    /// <summary>Traffic may exceed the logits themselves by this much: edges, labels and outputs.</summary>
    private const double Traffic = 1.01;

    private const double Efficiency = 0.98;

    /// <summary>Instructions of a thread beside those for its logits: the row's place, and the merging of what the threads have seen.</summary>
    private const int PerThread = 430;

    /// <summary>With as many multiprocessors as leave no row to be shared but by clusters.</summary>
    private static CudaDevice H100 => MachineKernel.DeviceWith(multiprocessors: 1) with { Major = 9, SharedBytes = 227 << 10 };

    private static readonly TestCaseData[] s_cases =
    [
        .. from type in new[] { ElementType.BFloat16, ElementType.Float32 }
           from vocabulary in new[] { 32000, 32003, 151936, 151939 }
           from direction in Enum.GetValues<KlDirection>()
           select new TestCaseData(type, vocabulary, direction),
    ];

    private static readonly TestCaseData[] s_casesOfDevices =
    [
        .. from one in s_cases
           from isH100 in new[] { false, true }
           select new TestCaseData([.. one.Arguments, isH100]),
        new TestCaseData(ElementType.BFloat16, 262_144, KlDirection.Forward, true),
        new TestCaseData(ElementType.Float32, 262_144, KlDirection.Forward, true),
    ];

    /// <summary>The gradient reads again what shared memory has no room for; on an H100 a cluster's has room for every row.</summary>
    [TestCaseSource(nameof(s_casesOfDevices))]
    public void ForwardAndGradient(ElementType type, int vocabulary, KlDirection direction, bool isH100)
    {
        CudaDevice device = isH100 ? H100 : MachineKernel.DeviceFor(BlocksOfARow.One);
        var choice = new KernelChoice(KernelChoice.ModuleOf(type), ReferenceUse.ForwardKl, KernelForm.Fast);
        var block = RowBlock.Of(vocabulary, type, choice, device);
        double kept = Math.Min(1, (double)block.KeptTiles * block.Blocks * KernelForm.Fast.TileOf(type) / vocabulary);
        Assert.That(kept, isH100 || vocabulary < 40_000 && type == ElementType.BFloat16 ? Is.GreaterThan(0.98) : Is.GreaterThan(0.1), "of the row");
        using KernelRun run = Problem(type, vocabulary, direction);
        MachineKernel machine = MachineKernel.Get(device);
        run.Forward(machine);
        LaunchCounts counts = machine.Machine.LastLaunch;
        Assert.That(counts.Blocks, Is.EqualTo(Rows * block.Blocks));
        Print(counts, type, vocabulary, $"forward and gradient, {direction}");
        double logits = (double)Rows * vocabulary;
        double bytes = logits * type.SizeInBytes();
        Assert.Multiple(() =>
        {
            Assert.That(Read(counts) / bytes, Is.InRange(2 + (2 * (1 - kept)), 2.04 + (2 * (1 - kept))), "bytes read");
            Assert.That(Written(counts) / bytes, Is.InRange(1, Traffic), "bytes written");
            Assert.That(32 * counts.DistinctSectorsRead / bytes, Is.AtMost(2 * Traffic), "sectors read");
            Assert.That(counts.LoadEfficiency, Is.AtLeast(Efficiency), "sector efficiency of loads");
            Assert.That(counts.StoreEfficiency, Is.AtLeast(Efficiency), "sector efficiency of stores");
            Assert.That(counts.LaneInstructions / logits, Is.AtMost(PerLogit(type) + (PerThread * block.Threads * block.Blocks / (double)vocabulary)), "instructions");
            Assert.That(
                counts.TranscendentalOperations / logits, Is.AtMost(direction == KlDirection.Forward ? 4.001 : 3.02), "transcendental operations");
            Assert.That(counts.Lanes(InstructionClass.LoadLocal) + counts.Lanes(InstructionClass.StoreLocal), Is.Zero, "local memory");
        });
    }

    [TestCaseSource(nameof(s_cases))]
    public void ForwardAlone(ElementType type, int vocabulary, KlDirection direction)
    {
        using KernelRun run = Problem(type, vocabulary, direction);
        LaunchCounts counts = Count(kernel => kernel.Forward(run.Problem, run.Outputs, default));
        Print(counts, type, vocabulary, $"forward, {direction}");
        double bytes = (double)Rows * vocabulary * type.SizeInBytes();
        Assert.Multiple(() =>
        {
            Assert.That(32 * counts.DistinctSectorsRead / bytes, Is.InRange(2, 2 * Traffic), "bytes read");
            Assert.That(Read(counts) / bytes, Is.AtMost(2.03), "bytes of all requests");
            Assert.That(counts.LoadEfficiency, Is.AtLeast(Efficiency), "sector efficiency of loads");
        });
    }

    [TestCaseSource(nameof(s_cases))]
    public void SummarizeReadsOnce(ElementType type, int vocabulary, KlDirection direction)
    {
        using KernelRun run = Problem(type, vocabulary, direction);
        MachineKernel kernel = MachineKernel.Get();
        kernel.Summarize(run.Problem, run.Outputs.State);
        LaunchCounts complete = kernel.Machine.LastLaunch;
        LaunchCounts counts = kernel.Machine.CountsByKernel[$"summarize_{direction}Kl"];
        Print(counts, type, vocabulary, $"summary, {direction}");
        Print(complete, type, vocabulary, "the rest of it");
        double bytes = (double)Rows * vocabulary * type.SizeInBytes();
        Assert.That(32 * counts.DistinctSectorsRead / bytes, Is.InRange(2, 2 * Traffic), "bytes read");
        Assert.That(Read(counts) / bytes, Is.AtMost(2.03), "bytes of all requests");
        AssertOnce(complete, type, vocabulary);
        Assert.That(complete.GlobalStoreSectors, Is.AtMost(8 * Rows), "states alone are written");
    }

    /// <summary>A top-k reference is no row of logits: the policy is read once for its terms, and once for the gradient.</summary>
    [Test]
    public void ATopKReference([Values(ElementType.BFloat16, ElementType.Float32)] ElementType type, [Values] KlDirection direction)
    {
        const int Vocabulary = 151_939;
        using KernelRun whole = Problem(type, Vocabulary, direction);
        long[] indices = [.. Enumerable.Range(0, Rows).SelectMany(row => Enumerable.Range(0, 64).Select(i => (long)((i * 2300) + row)))];
        using var run = new KernelRun(
            whole.Problem.Objective, whole.ReadMatrix(whole.Logits), null, [5, 6], type, topKIndices: indices, topKLogProbabilities: [.. indices.Select(_ => -5.0)]);
        MachineKernel kernel = MachineKernel.Get();
        run.Forward(kernel);
        LaunchCounts gradient = kernel.Machine.LastLaunch;
        LaunchCounts complete = kernel.Machine.CountsByKernel["complete"];
        Print(complete, type, Vocabulary, $"the terms of a top-k reference, {direction}");
        Print(gradient, type, Vocabulary, $"its gradient, {direction}");
        Assert.That(gradient.Kernel, Is.EqualTo("gradient_TopK"));
        AssertOnce(complete, type, Vocabulary);
        AssertOnce(gradient, type, Vocabulary);
        Assert.That(Written(gradient) / ((double)Rows * Vocabulary * type.SizeInBytes()), Is.InRange(1, 1.1), "bytes written");
    }

    [Test]
    public void BackwardReadsAndWritesOnce([Values(32000, 32003)] int vocabulary, [Values] KlDirection direction)
    {
        using KernelRun run = Problem(ElementType.BFloat16, vocabulary, direction);
        MachineKernel kernel = MachineKernel.Get();
        kernel.Forward(run.Problem, run.Outputs, default);
        LaunchCounts counts = Count(_ => run.Backward(kernel, [0.5]));
        Print(counts, ElementType.BFloat16, vocabulary, $"backward, {direction}");
        double bytes = 2.0 * Rows * vocabulary;
        Assert.That(32 * counts.DistinctSectorsRead / bytes, Is.InRange(2, 2 * Traffic), "bytes read");
        Assert.That(Written(counts) / bytes, Is.InRange(1, Traffic), "bytes written");
        Assert.That(counts.SectorEfficiency, Is.AtLeast(Efficiency), "sector efficiency");
    }

    /// <summary>A reference of another type, or at another place of a line, costs little more than one that lies as the policy does.</summary>
    [Test]
    public void ThereIsNoCliffBesideTheFastPath([Values] bool isMoved, [Values] KlDirection direction)
    {
        const int Vocabulary = 50_257;
        using KernelRun aligned = Problem(ElementType.BFloat16, Vocabulary, direction);
        double fast = Count(kernel => aligned.Forward(kernel)).LaneInstructions;
        using var run = new KernelRun(
            aligned.Problem.Objective, aligned.ReadMatrix(aligned.Logits), aligned.ReadMatrix(aligned.Problem.Reference), [5, 6], ElementType.BFloat16,
            isMoved ? ElementType.BFloat16 : ElementType.Float32);
        LogitMatrix reference = run.Problem.Reference;
        var moved = new LogitMatrix((byte*)reference.Data + (isMoved ? sizeof(ushort) : 0), reference.Type, Vocabulary);
        TokenProblem problem = run.Problem with { Reference = moved, Vocabulary = Vocabulary - 1 };
        LaunchCounts counts = Count(kernel => kernel.Forward(problem, run.Outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 }));
        TestContext.Out.WriteLine($"{direction}, moved: {isMoved}: {counts.LaneInstructions / fast:F3} of the instructions, {counts.LoadEfficiency:P1} of the sectors");
        Assert.That(counts.LaneInstructions / fast, Is.AtMost(1.5));
        Assert.That(counts.LoadEfficiency, Is.AtLeast(0.6), "sector efficiency of loads");
    }

    /// <summary>With a softcap each logit goes along its curve whenever it is read: near zero, where most are, a polynomial.</summary>
    [TestCase(30, 61, 4.2)]
    [TestCase(5, 104, 12.5)] // which the logits reach
    public void Softcap(double softcap, double instructions, double transcendental)
    {
        const int Vocabulary = 50_257;
        using KernelRun run = Problem(ElementType.BFloat16, Vocabulary, KlDirection.Forward);
        TokenProblem problem = run.Problem with { Objective = LossObjective.Asft() with { LogitSoftcap = softcap } };
        LaunchCounts counts = Count(kernel => kernel.Forward(problem, run.Outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 }));
        Print(counts, ElementType.BFloat16, Vocabulary, $"softcap {softcap}");
        double logits = (double)Rows * Vocabulary;
        Assert.That(counts.LaneInstructions / logits, Is.AtMost(instructions), "instructions");
        Assert.That(counts.TranscendentalOperations / logits, Is.AtMost(transcendental), "transcendental operations");
    }

    /// <summary>Logits as a language model's: a few far above the others, the reference close to the policy.</summary>
    internal static KernelRun Problem(ElementType type, int vocabulary, KlDirection direction, int rows = Rows)
    {
        var random = new Random(vocabulary);
        var logits = new double[rows * vocabulary];
        var reference = new double[logits.Length];
        for (int i = 0; i < logits.Length; i++)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(Math.Tau * random.NextDouble());
            logits[i] = (2.5 * normal) + (random.Next(5000) == 0 ? 10 : 0);
            reference[i] = logits[i] + ((random.NextDouble() - 0.5) / 2);
        }

        long[] labels = [.. Enumerable.Range(0, rows).Select(_ => random.NextInt64(vocabulary))];
        return new KernelRun(LossObjective.Asft() with { KlDirection = direction }, logits, reference, labels, type);
    }

    /// <summary>Instructions for a logit in the loops; float32 takes fewer at a time, so that each bears more of what a chunk costs once.</summary>
    private static double PerLogit(ElementType type) => type == ElementType.Float32 ? 32 : 26.5;

    private static void AssertOnce(LaunchCounts counts, ElementType type, int vocabulary)
    {
        double logits = (double)Rows * vocabulary;
        double bytes = logits * type.SizeInBytes();
        Assert.That(32 * counts.DistinctSectorsRead / bytes, Is.InRange(1, 1.05), "bytes read");
        Assert.That(Read(counts) / bytes, Is.AtMost(1.1), "bytes of all requests");
        Assert.That(counts.LaneInstructions / logits, Is.AtMost(45), "instructions");
        Assert.That(counts.TranscendentalOperations / logits, Is.AtMost(1.05), "transcendental operations");
        Assert.That(counts.Lanes(InstructionClass.LoadLocal) + counts.Lanes(InstructionClass.StoreLocal), Is.Zero, "local memory");
    }

    /// <summary>Bytes of all sectors that loads asked for; the second time they may come from a cache.</summary>
    private static double Read(LaunchCounts counts) => 32.0 * counts.GlobalLoadSectors;

    private static double Written(LaunchCounts counts) => 32.0 * counts.GlobalStoreSectors;

    private static LaunchCounts Count(Action<MachineKernel> run)
    {
        MachineKernel kernel = MachineKernel.Get();
        run(kernel);
        return kernel.Machine.LastLaunch;
    }

    private static void Print(LaunchCounts counts, ElementType type, int vocabulary, string what)
    {
        double logits = (double)Rows * vocabulary;
        double bytes = logits * type.SizeInBytes();
        TestContext.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            {what}, {type}, V = {vocabulary}: per logit {counts.LaneInstructions / logits:F2} instructions
            ({(counts.LaneInstructions - counts.Lanes(InstructionClass.Move)) / logits:F2} without moves),
            {counts.TranscendentalOperations / logits:F3} transcendental; {Read(counts) / bytes:F4} reads,
            {Written(counts) / bytes:F4} writes, {32 * counts.DistinctSectorsRead / bytes:F4} distinct reads; sector efficiency of
            loads {counts.LoadEfficiency:P2}, of stores {counts.StoreEfficiency:P2}; bank conflicts {counts.BankConflicts}, divergent branches {counts.DivergentBranches}
            """).ReplaceLineEndings(" "));
    }
}
