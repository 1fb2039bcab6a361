using System.Globalization;
using Asft.Kernels;
using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;
using Asft.Kernels.Ilgpu;
using Asft.Kernels.Reference;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>Every message with a number in it, and every file, is the same in a culture that writes numbers in another way.</summary>
public class CultureTests : TorchTest
{
    private static readonly ReferenceCacheIdentity s_identity = new("model", "head", "data");

    /// <summary>The same for each test, as it is part of messages that are compared.</summary>
    private static readonly string s_directory = Path.Combine(Path.GetTempPath(), $"asft-culture-{Environment.ProcessId}");

    /// <summary>Made by hand, since a process with invariant globalization has no other cultures than the invariant one.</summary>
    private static readonly CultureInfo s_foreign = new(string.Empty)
    {
        NumberFormat = new NumberFormatInfo
        {
            NumberDecimalSeparator = ",", // as in German
            NegativeSign = "\u2212", // as in Swedish, and not the hyphen
            PositiveInfinitySymbol = "oändlig",
            NaNSymbol = "inget",
        },
    };

    private static readonly Dictionary<string, Action> s_refused = new()
    {
        ["WeightExponent"] = () => _ = LossObjective.Dft with { WeightExponent = -0.5 },
        ["WeightMin"] = () => _ = new LossObjective { WeightMax = 0.5, WeightMin = 1.5 },
        ["WeightMin NaN"] = () => _ = new LossObjective { WeightMin = double.NaN },
        ["WeightMax"] = () => _ = new LossObjective { WeightMin = 1.5, WeightMax = 0.5 },
        ["KlWeight"] = () => LossObjective.Asft(-0.05),
        ["KlWeight infinite"] = () => LossObjective.SftKl(double.PositiveInfinity),
        ["LabelSmoothing"] = () => _ = new LossObjective { LabelSmoothing = -0.1 },
        ["LogitScale"] = () => _ = new LossObjective { LogitScale = -1.5 },
        ["LogitSoftcap"] = () => _ = new LossObjective { LogitSoftcap = -30.5 },
        ["ZLossWeight"] = () => _ = new LossObjective { ZLossWeight = -1e-4 },
        ["Weighting"] = () => _ = new LossObjective { Weighting = (TokenWeighting)(-1) },
        ["missing reference"] = () => AsftFunctional.asft_loss(zeros(2, 7), zeros(2, ScalarType.Int64), objective: LossObjective.Asft(0.05)),
        ["label"] = () => AsftFunctional.asft_loss(zeros(2, 7), full(2, -7, ScalarType.Int64), objective: LossObjective.Sft),
        ["token count"] = () => AsftFunctional.asft_loss(
            zeros(2, 7), zeros(2, ScalarType.Int64), objective: LossObjective.Sft, tokenCount: tensor(-1.5)),
        ["reduction"] = () => AsftFunctional.asft_loss(
            zeros(2, 7), zeros(2, ScalarType.Int64), objective: LossObjective.Sft, reduction: (nn.Reduction)(-1)),
        ["linear: missing reference"] = () => AsftFunctional.linear_asft_loss(
            zeros(2, 3), zeros(7, 3), zeros(2, ScalarType.Int64), objective: LossObjective.Asft(0.05)),
        ["linear: label"] = () => AsftFunctional.linear_asft_loss(
            zeros(2, 3), zeros(7, 3), full(2, -7, ScalarType.Int64), objective: LossObjective.Sft),
        ["linear: weight"] = () => AsftFunctional.linear_asft_loss(
            zeros(2, 3), zeros(7, 4), zeros(2, ScalarType.Int64), objective: LossObjective.Sft),
        ["linear: workspace"] = () => _ = new LinearLossOptions { WorkspaceBytes = -1 },
        ["cache: dtype"] = () => _ = new ReferenceCacheOptions { StorageType = (ScalarType)(-1) },
        ["cache: shard"] = () => _ = new ReferenceCacheOptions { ShardBytes = -1 },
        ["cache: examples"] = () => _ = new ReferenceCacheWriter("cache", s_identity, -1, ReferenceCacheForm.LabelLogProbabilities),
        ["cache: hidden size"] = () => ReferenceCacheForm.Hidden(-1),
        ["cache: entries"] = () => ReferenceCacheForm.TopK(-1),
        ["cache: example"] = () => InCache(directory => ReferenceCache.Open(directory, s_identity).Read(-1)),
        ["cache: length"] = () => InCache(directory => ReferenceCache.Open(directory, s_identity).ReadBatch([0, 1], -1)),
        ["cache: index"] = () => InCache(directory =>
        {
            string index = Path.Combine(directory, "index.json");
            File.WriteAllText(index, File.ReadAllText(index).Replace("\"size\": 3", "\"size\": -3", StringComparison.Ordinal));
            ReferenceCache.Open(directory, s_identity);
        }),
        ["PTX device"] = () => _ = new CudaTokenLossKernel(NativeCudaDriver.Instance, -1),
        ["chunk"] = () => _ = new IlgpuTokenLossKernel(IlgpuDevice.All[0], -1),
        ["reference row"] = () => ReferenceRow.Evaluate(LossObjective.Asft(), [1, 2], [1], 0),
    };

    private static readonly string[] s_names = [.. s_refused.Keys];

    [TearDown]
    public void Reset() => CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;

    [Test]
    public void TheForeignCultureIsSeen()
    {
        CultureInfo.CurrentCulture = s_foreign;
        Assert.That((-0.05).ToString(null, null), Is.EqualTo("\u22120,05"));
    }

    [TestCaseSource(nameof(s_names))]
    public void AMessageIsTheSame(string what)
    {
        string? message = Assert.Catch(() => s_refused[what]())!.Message;
        CultureInfo.CurrentCulture = s_foreign;
        Assert.That(Assert.Catch(() => s_refused[what]())!.Message, Is.EqualTo(message));
    }

    [Test]
    public void AMissingReferenceIsToldWithTheWeightThatWantsIt()
    {
        CultureInfo.CurrentCulture = s_foreign;
        Assert.That(() => s_refused["missing reference"](), Throws.ArgumentNullException.With.Message.Contains("KlWeight 0.05 "));
    }

    [Test]
    public void ADescriptionIsTheSame()
    {
        string description = AsftRuntime.Describe();
        CultureInfo.CurrentCulture = s_foreign;
        Assert.That(AsftRuntime.Describe(), Is.EqualTo(description));
    }

    [Test]
    public void ACacheWrittenInOneCultureIsReadInAnother()
    {
        CultureInfo.CurrentCulture = s_foreign;
        InCache(directory =>
        {
            CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
            Assert.That(File.Exists(Path.Combine(directory, "shard-00000.safetensors")));
            using var cache = ReferenceCache.Open(directory, s_identity);
            Assert.That(Values(cache.Read(1).Tensors[0]), Is.EqualTo(new[] { 1.0, 1, 1 }));
        });
    }

    /// <summary>Does something with the directory of a cache of two examples, of 2 tokens and 1, with 3 features.</summary>
    private static void InCache(Action<string> action)
    {
        try
        {
            ReferenceCache.OpenOrCreate(s_directory, s_identity, examples: 2, ReferenceCacheForm.Hidden(3), number => ones(2 - number, 3)).Dispose();
            action(s_directory);
        }
        finally
        {
            Directory.Delete(s_directory, recursive: true);
        }
    }
}
