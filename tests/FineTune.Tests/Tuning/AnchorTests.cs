using Asft.Interop;
using Asft.Kernels;
using FineTune.Transformer;
using FineTune.Tuning;
using static TorchSharp.torch;

namespace FineTune.Tests.Tuning;

/// <summary>Each kind of reference says of each token what the model that it stands for says.</summary>
public class AnchorTests : TuningTest
{
    private static readonly ReferenceCacheIdentity s_identity = new("model", "head", "data");

    /// <summary>At the first step the model is the reference, whatever dropout draws for the model.</summary>
    [Test]
    public void WithItsAdaptersOffTheModelIsTheReference()
    {
        Decoder model = Load();
        model.AddAdapters(Lora(dropout: 0.5));
        using var tuner = new Tuner(model, LossObjective.Asft(), new AdaptersOffAnchor(model), new TunerOptions());
        Assert.That(tuner.Step([Rows([0, 1], [2, 3])], 1e-2).Kl, Is.Zero);
        Assert.That(tuner.Step([Rows([0, 1], [2, 3])], 1e-2).Kl, Is.GreaterThan(0));
        Assert.That(model.training, Is.True);
    }

    [Test]
    public void ACopyIsTheReference([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        using var tuner = new Tuner(Load(type: type), LossObjective.Asft(), new FrozenAnchor(Load(type: type)), new TunerOptions());
        Assert.That(tuner.Step([Rows([0, 1], [2, 3])], 1e-2).Kl, Is.Zero);
        Assert.That(tuner.Step([Rows([0, 1], [2, 3])], 1e-2).Kl, Is.GreaterThan(0));
    }

    /// <summary>What was computed example by example and kept on disk, in float32, leads to the gradients of the model that is run on packed rows.</summary>
    [Test]
    public void ACacheStandsForTheModel([Values("hidden", "labels", "top-k")] string form)
    {
        LossObjective objective = LossObjective.Asft(0.5) with { KlEstimator = form == "labels" ? KlEstimator.K3 : KlEstimator.Exact };
        Decoder reference = Load("qwen3");
        using ReferenceCache cache = ReferenceMaker.OpenOrCreate(
            PathOf("cache"),
            s_identity,
            reference,
            Data,
            new CacheForm(form, K: 37), // all tokens: no probability is left for the others
            new ReferenceCacheOptions { StorageType = ScalarType.Float32, ShardBytes = 1000 });
        Assert.That(cache.Count, Is.EqualTo(Data.Length));

        float[] cached = Step(objective, new CachedAnchor(cache, form == "hidden" ? reference.HeadWeight : null));
        float[] run = Step(objective, new FrozenAnchor(Load("qwen3")));
        AssertClose(cached, run, 2e-5);
    }

    private float[] Step(LossObjective objective, IAnchor anchor)
    {
        using var tuner = new Tuner(Load("qwen2"), objective, anchor, new TunerOptions(MaxGradientNorm: 1e9));
        Assert.That(tuner.Step([Rows([2, 0, 5], [1, 4]), Rows([3])], 1e-3).Kl, Is.GreaterThan(0.1));
        return Gradients(tuner);
    }
}
