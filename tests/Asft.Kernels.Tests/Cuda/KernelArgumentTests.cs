using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Asft.Kernels.Cuda;
using Asft.PtxVm;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>Refused arguments, and what the launch code and the shipped PTX must agree on.</summary>
[Parallelizable]
public unsafe partial class KernelArgumentTests
{
    private static readonly string[] s_modules =
        ["bfloat16", "float16", "float32", "float64", "bfloat16_sm90", "float16_sm90", "float32_sm90", "reductions", "states"];

    [Test]
    public void AMissingReferenceIsRefused()
    {
        using var run = new KernelRun(LossObjective.Asft(), [1, 2, 3], null, [0], ElementType.Float32);
        Assert.That(() => run.Forward(MachineKernel.Get()), Throws.ArgumentException.With.Message.Contains("Reference"));
        Assert.That(() => run.Backward(MachineKernel.Get(), [1]), Throws.ArgumentException.With.Message.Contains("Reference"));
    }

    [Test]
    public void MissingSavedOutputsAndGradientsAreRefused()
    {
        using var run = new KernelRun(LossObjective.Asft(), [1, 2, 3], [1, 2, 3], [0], ElementType.Float32);
        MachineKernel kernel = MachineKernel.Get();
        var gradient = new TokenGradient { Logits = run.Gradient, Scale = 1 };
        TokenOutputs noState = run.Outputs with { State = null };
        Assert.That(() => kernel.Device.Backward(run.Problem, noState, gradient), Throws.ArgumentException.With.Message.Contains("saved State"));
        Assert.That(() => kernel.Device.Finish(run.Problem, noState), Throws.ArgumentException.With.Message.Contains("states"));
        Assert.That(() => kernel.Device.Summarize(run.Problem, null), Throws.ArgumentException.With.Message.Contains("states"));
        Assert.That(() => kernel.Device.Merge(run.Problem, run.Outputs.State, null), Throws.ArgumentException.With.Message.Contains("states"));
        Assert.That(() => kernel.Device.Backward(run.Problem, run.Outputs, default), Throws.ArgumentException.With.Message.Contains("gradient"));
        Assert.That(() => kernel.Device.Rescale(run.Problem, default), Throws.ArgumentException.With.Message.Contains("gradient"));
        var otherType = new TokenGradient { Logits = new LogitMatrix(run.Gradient.Data, ElementType.Float16, 3), Scale = 1 };
        Assert.That(() => kernel.Device.Forward(run.Problem, run.Outputs, otherType), Throws.ArgumentException.With.Message.Contains("Float16"));
    }

    [Test]
    public void AVocabularyThatNoPositionInARowCanHoldIsRefused([Values(0L, (long)int.MaxValue)] long vocabulary)
    {
        long label = 0;
        TokenProblem problem = new()
        {
            Objective = LossObjective.Sft,
            Rows = 1,
            Vocabulary = vocabulary,
            Logits = new LogitMatrix(&label, ElementType.Float32, vocabulary),
            Labels = &label,
        };
        Assert.That(() => MachineKernel.Get().Device.Forward(problem, default, default), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void DevicesThatTheKernelsDoNotRunOnAreRefused()
    {
        using var machine = new PtxMachine(new PtxMachineOptions { Devices = [new CudaDevice(0, "Turing", 7, 5, 40, 1L << 30, 64 << 10)] });
        Assert.That(() => new CudaTokenLossKernel(machine, 0), Throws.InstanceOf<NotSupportedException>().With.Message.Contains("7.5"));
        Assert.That(() => new CudaTokenLossKernel(machine, 1), Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("device 1"));
    }

    [Test]
    public void DisposingGivesTheMemoryBackAndEndsTheKernel()
    {
        using var machine = new PtxMachine();
        var kernel = new CudaTokenLossKernel(machine, 0);
        Run(30);
        long before = machine.Memory.AllocatedBytes;
        Run(20_000);
        Assert.That(machine.Memory.AllocatedBytes, Is.GreaterThan(before), "the workspace of rows that several blocks share");
        kernel.Dispose();
        kernel.Dispose();
        Assert.That(machine.Memory.AllocatedBytes, Is.EqualTo(before));
        Assert.That(kernel.ThrowIfFaulted, Throws.InstanceOf<ObjectDisposedException>());

        void Run(int vocabulary)
        {
            using KernelRun run = new RandomCase(LossObjective.Sft, 1, vocabulary, ElementType.Float32, ElementType.Float32, 0, false, 1).Run();
            using var shown = new ShownMemory(machine);
            shown.Problem(run.Problem, readsReference: false);
            shown.Outputs(run.Problem, run.Outputs, isSaved: false);
            kernel.Forward(run.Problem, new TokenOutputs { Loss = run.Outputs.Loss }, default);
        }
    }

    [Test]
    public void OnlyTheModuleThatIsNeededIsLoaded()
    {
        using var machine = new PtxMachine();
        using var kernel = new CudaTokenLossKernel(machine, 0);
        using KernelRun run = new RandomCase(LossObjective.Sft, 1, 30, ElementType.BFloat16, ElementType.BFloat16, 0, false, 1).Run();
        Assert.That(kernel.Describe(), Has.Exactly(4).Contains("not loaded yet"));
        using var shown = new ShownMemory(machine);
        shown.Problem(run.Problem, readsReference: false);
        shown.Outputs(run.Problem, run.Outputs, isSaved: false);
        kernel.Forward(run.Problem, new TokenOutputs { Loss = run.Outputs.Loss }, default);
        Assert.That(kernel.Describe(), Has.Exactly(3).Contains("not loaded yet"));
        Assert.That(kernel.Describe(), Has.One.Contains("BFloat16: bfloat16.ptx on CUDA (PTX virtual machine, sm_80, PTX), loaded"));
    }

    [TestCase("bfloat16", 29)]
    [TestCase("float16", 29)]
    [TestCase("float32", 29)]
    [TestCase("float64", 23)]
    [TestCase("bfloat16_sm90", 9)]
    [TestCase("float16_sm90", 9)]
    [TestCase("float32_sm90", 9)]
    [TestCase("states", 8)]
    public void BothCompilersLayTheParameterOutAlike(string module, int kernels)
    {
        int[] sizes = [.. Parameters().Matches(CudaModules.ReadShipped(module)).Select(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture))];
        Assert.That(sizes, Has.Length.EqualTo(kernels).And.All.EqualTo(sizeof(RowArguments)));
    }

    /// <summary>States lie in memory that both sides read: their fields have the same names, sizes and order.</summary>
    [Test]
    public void BothCompilersLayTheStateOutAlike()
    {
        string header = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "KernelSources", "state.cuh"));
        string[] fields = [.. Fields().Matches(header).Select(match => match.Groups[2].Value.ToUpperInvariant())];
        Assert.That(fields, Is.EqualTo(typeof(RowState).GetProperties().Select(property => property.Name.ToUpperInvariant())));
        Assert.That(Fields().Matches(header)[^1].Groups[1].Value, Is.EqualTo("long long"));
        Assert.That(header, Does.Contain($"sizeof(RowState) == {sizeof(RowState)}"));
    }

    [Test]
    public void TheKernelsHaveTheConstantsOfTheLaunchCode()
    {
        string header = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "KernelSources", "constants.cuh"));
        Dictionary<string, int> constants = Constants().Matches(header)
            .ToDictionary(match => match.Groups[1].Value, match => int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture));
        Assert.That(constants, Is.EquivalentTo(typeof(KernelConstants).GetFields().ToDictionary(field => field.Name, field => (int)field.GetRawConstantValue()!)));
        foreach (Type type in new[] { typeof(ElementType), typeof(TokenWeighting), typeof(ReferenceUse) })
        {
            Assert.That(header, Does.Contain($"enum class {type.Name} {{ {string.Join(", ", Enum.GetNames(type).Select((name, number) => $"{name} = {number}"))} }};"));
        }
    }

    [TestCaseSource(nameof(s_modules))]
    public void TheShippedPtxIsMadeOfTheSources(string module)
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "KernelSources");
        var text = new StringBuilder();
        string[] headers = [.. Directory.EnumerateFiles(folder, "*.cuh").Order(StringComparer.Ordinal)];
        foreach (string file in headers.Prepend(Path.Combine(folder, module + ".cu")))
        {
            text.Append(Path.GetFileName(file)).Append('\n').Append(File.ReadAllText(file).ReplaceLineEndings("\n"));
        }

        string hash = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
        string line = CudaModules.ReadShipped(module).Split('\n')[0].TrimEnd();
        Assert.That(line, Is.EqualTo($"// Sources: sha256 {hash}").IgnoreCase, "The PTX is stale: run ./build.sh kernels.");
    }

    [Test]
    public void ThePtxUsesNoLocalMemoryAndCallsNothing([ValueSource(nameof(s_modules))] string module)
    {
        string[] lines = CudaModules.ReadShipped(module).Split('\n');
        Assert.That(lines.Where(line => line.Contains(".local", StringComparison.Ordinal) || line.TrimStart().StartsWith("call", StringComparison.Ordinal)), Is.Empty);
    }

    [GeneratedRegex(@"constexpr int (\w+) = (\d+);")]
    private static partial Regex Constants();

    [GeneratedRegex(@"^    (double|long long) (\w+);", RegexOptions.Multiline)]
    private static partial Regex Fields();

    [GeneratedRegex(@"_param_0\[(\d+)\]\r?\n")]
    private static partial Regex Parameters();
}
