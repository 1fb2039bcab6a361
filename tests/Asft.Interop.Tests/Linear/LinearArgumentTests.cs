using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>Every argument that can be wrong is named, with what is wrong about it.</summary>
public class LinearArgumentTests : LinearTest
{
    private static readonly Dictionary<string, (Action<LinearCase> Spoil, string Argument, string[] Says)> s_spoilers = new()
    {
        ["hidden null"] = (c => c.Hidden = null!, "hidden", []),
        ["hidden disposed"] = (c => c.Hidden.Dispose(), "hidden", ["disposed"]),
        ["hidden int64"] = (c => c.Hidden = zeros([3, LinearCase.Width], ScalarType.Int64), "hidden", ["Int64"]),
        ["hidden without dimensions"] = (c => c.Hidden = tensor(1f), "hidden", ["[]"]),
        ["hidden without features"] = (c => c.Hidden = zeros(3, 0), "hidden", ["[3, 0]"]),
        ["weight null"] = (c => c.Weight = null!, "weight", []),
        ["weight of one dimension"] = (c => c.Weight = zeros(LinearCase.Width), "weight", ["[V, d]", "[12]"]),
        ["weight without rows"] = (c => c.Weight = zeros(0, LinearCase.Width), "weight", ["[0, 12]"]),
        ["weight of other columns"] = (c => c.Weight = zeros(LinearCase.Vocabulary, 13), "weight", ["12", "[37, 13]"]),
        ["weight of another dtype"] = (c => c.Weight = c.Weight.to(ScalarType.BFloat16), "weight", ["BFloat16", "Float32"]),
        ["labels null"] = (c => c.Labels = null!, "labels", []),
        ["labels float"] = (c => c.Labels = zeros(3), "labels", ["Float32"]),
        ["labels of another shape"] = (c => c.Labels = zeros([4], ScalarType.Int64), "labels", ["hidden", "[4]", "[3, 12]"]),
        ["label too large"] = (c => c.Labels[1] = 37, "labels", ["labels[1]", "37"]),
        ["label negative"] = (c => c.Labels[2] = -7, "labels", ["labels[2]", "-7"]),
        ["bias of another length"] = (c => c.Bias = zeros(36), "bias", ["37", "[36]"]),
        ["bias of two dimensions"] = (c => c.Bias = zeros(1, 37), "bias", ["[1, 37]"]),
        ["bias of another dtype"] = (c => c.Bias = zeros([37], ScalarType.Float64), "bias", ["Float64"]),
        ["reference hidden null"] = (c => c.ReferenceHidden = c.ReferenceWeight = c.ReferenceBias = null, "reference", ["KlWeight"]),
        ["reference hidden of another token count"] =
            (c => c.ReferenceHidden = zeros(4, LinearCase.Width), "reference", ["[4, 12]", "[3, 12]"]),
        ["reference hidden bool"] = (c => c.ReferenceHidden = zeros([3, LinearCase.Width], ScalarType.Bool), "reference", ["Bool"]),
        ["reference hidden of another size"] = (c =>
        {
            c.ReferenceHidden = zeros(3, 5);
            c.ReferenceWeight = c.ReferenceBias = null;
        }, "reference", ["12", "[3, 5]"]),
        ["reference weight of other columns"] = (c => c.ReferenceWeight = zeros(37, 5), "reference", ["reference.weight", "[37, 5]"]),
        ["reference weight of another vocabulary"] = (c => c.ReferenceWeight = zeros(36, LinearCase.Width), "reference", ["reference.weight", "37", "[36, 12]"]),
        ["reference bias of another length"] = (c => c.ReferenceBias = zeros(38), "reference", ["reference.bias", "37", "[38]"]),
        ["reference bias without weight"] = (c => c.ReferenceWeight = null, "bias", ["weight"]),
    };

    private static IEnumerable<string> Spoilers => s_spoilers.Keys;

    [Test]
    public void IsNamed([ValueSource(nameof(Spoilers))] string name)
    {
        (Action<LinearCase> spoil, string argument, string[] says) = s_spoilers[name];
        var inputs = new LinearCase([3], referenceType: ScalarType.Float32);
        spoil(inputs);
        ArgumentException error = Refused(() => inputs.Loss());
        Assert.That(error.ParamName, Is.EqualTo(argument));
        foreach (string text in says)
        {
            Assert.That(error.Message, Does.Contain(text));
        }

        ArgumentException again = Refused(() => inputs.Metrics());
        Assert.That(again.Message, Is.EqualTo(error.Message));
    }

    [Test]
    public void APaddedHeadIsNarrowed()
    {
        var inputs = new LinearCase([3], referenceType: ScalarType.Float32) { ReferenceWeight = zeros(64, LinearCase.Width), ReferenceBias = null };
        Assert.That(Refused(() => inputs.Loss()).Message, Does.Contain("narrow(0, 0, 37)"));
    }

    [Test]
    public void LogitsAreNoHiddenStates()
    {
        var inputs = new LinearCase([3]);
        Assert.That(
            Refused(() => AsftFunctional.linear_asft_loss(
                inputs.Hidden, inputs.Weight, inputs.Labels, reference: TokenReference.Logits(zeros(3, 37)))).Message,
            Does.Contain("asft_loss"));
        Assert.That(
            Refused(() => AsftFunctional.asft_loss(zeros(3, 37), inputs.Labels, TokenReference.Hidden(inputs.Hidden))).Message,
            Does.Contain("linear_asft_loss"));
    }

    [Test]
    public void ImportanceRatioNeedsAReference()
    {
        var inputs = new LinearCase([3]) { ReferenceHidden = null };
        Assert.That(
            Refused(() => inputs.Loss(new LossObjective { Weighting = TokenWeighting.ImportanceRatio })).Message,
            Does.Contain("ImportanceRatio"));
    }

    [Test]
    public void OtherArguments()
    {
        var inputs = new LinearCase([3]);
        Assert.That(Refused(() => inputs.Loss(tokenCount: zeros(2))).ParamName, Is.EqualTo("tokenCount"));
        Assert.That(Refused(() => inputs.Loss(tokenCount: tensor(0))).ParamName, Is.EqualTo("tokenCount"));
        Assert.That(Refused(() => inputs.Loss(reduction: (Reduction)9)).ParamName, Is.EqualTo("reduction"));
        Assert.That(
            Refused(() => _ = new LinearLossOptions { WorkspaceBytes = 0 }).Message, Does.Contain("WorkspaceBytes"));
        Assert.That(
            Refused(() => AsftFunctional.linear_asft_loss(
                inputs.Hidden, zeros([37, 12], device: META), inputs.Labels, objective: LossObjective.Sft)).Message,
            Does.Contain("weight is on meta"));
    }

    private static ArgumentException Refused(Action action) =>
        Assert.Catch<ArgumentException>(() => action()) ?? throw new AssertionException("There is no exception.");
}
