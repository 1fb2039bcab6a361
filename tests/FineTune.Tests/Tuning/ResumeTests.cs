using Asft.Kernels;
using FineTune.Transformer;
using FineTune.Tuning;
using static TorchSharp.torch;

namespace FineTune.Tests.Tuning;

/// <summary>A training that goes on from a file has the bits of one that never stopped; one that cannot says why.</summary>
public class ResumeTests : TuningTest
{
    private static readonly Dictionary<string, string> s_settings = new() { ["mode"] = "asft", ["seed"] = "1" };

    [Test]
    public void ATrainingGoesOnWithTheSameBits([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type, [Values] bool lora)
    {
        using Tuner whole = Start(type, lora);
        Steps(whole, 6);

        using (Tuner first = Start(type, lora))
        {
            Steps(first, 3);
            TuningState.Save(Output, first.Optimizer, s_settings);
        }

        manual_seed(99);
        using Tuner second = Start(type, lora);
        TuningState.Resume(Output, second.Optimizer, s_settings);
        Assert.That(second.Optimizer.Steps, Is.EqualTo(3));
        Steps(second, 6);

        foreach (((string Name, Tensor Tensor) expected, (string Name, Tensor Tensor) actual) in whole.Optimizer.State.Zip(second.Optimizer.State))
        {
            Assert.That(actual.Name, Is.EqualTo(expected.Name));
            Assert.That(Values(actual.Tensor).SequenceEqual(Values(expected.Tensor)), Is.True, expected.Name);
        }
    }

    [Test]
    public void WithoutAFileItBegins()
    {
        using Tuner tuner = Start(ScalarType.Float32, lora: false);
        TuningState.Resume(Output, tuner.Optimizer, s_settings);
        Assert.That(tuner.Optimizer.Steps, Is.Zero);
    }

    [Test]
    public void ATrainingWithOtherSettingsIsRefused()
    {
        using Tuner tuner = Start(ScalarType.Float32, lora: false);
        TuningState.Save(Output, tuner.Optimizer, s_settings);
        var others = new Dictionary<string, string>(s_settings) { ["seed"] = "2" };
        Assert.That(
            () => TuningState.Resume(Output, tuner.Optimizer, others),
            Throws.InstanceOf<UserErrorException>().With.Message.Contains("differs from this one: seed (was 1, is 2)"));
    }

    [Test]
    public void ADamagedStateIsRefused()
    {
        using Tuner tuner = Start(ScalarType.Float32, lora: true);
        TuningState.Save(Output, tuner.Optimizer, s_settings);
        string path = PathOf(TuningState.FileName);
        byte[] bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, bytes[..(bytes.Length / 2)]);
        Assert.That(() => TuningState.Resume(Output, tuner.Optimizer, s_settings), Throws.InstanceOf<InvalidDataException>().With.Message.Contains("damaged"));
    }

    /// <summary>As on a full disk: the write fails, and the state before is what it was.</summary>
    [Test]
    public void AStateThatCannotBeSavedLeavesTheOneBefore()
    {
        using Tuner tuner = Start(ScalarType.Float32, lora: true);
        TuningState.Save(Output, tuner.Optimizer, s_settings);
        byte[] before = File.ReadAllBytes(PathOf(TuningState.FileName));
        Steps(tuner, 1);
        Directory.CreateDirectory(PathOf(TuningState.FileName + ".partial")); // the name that it is written under is taken
        Assert.That(
            () => TuningState.Save(Output, tuner.Optimizer, s_settings), Throws.InstanceOf<UnauthorizedAccessException>().Or.InstanceOf<IOException>());
        Assert.That(File.ReadAllBytes(PathOf(TuningState.FileName)), Is.EqualTo(before));
    }

    [Test]
    public void ALossThatIsNoNumberEndsTheTrainingBeforeTheStep()
    {
        using Tuner tuner = Start(ScalarType.Float32, lora: false);
        Steps(tuner, 1);
        using var noGrad = no_grad();
        Tensor norm = tuner.Optimizer.State.Single(entry => entry.Name == "model.norm.weight").Tensor;
        norm[3] = float.NaN;
        float[] before = Values(tuner.Optimizer.State[0].Tensor);
        using var grad = enable_grad();
        Assert.That(() => Steps(tuner, 2), Throws.InstanceOf<UserErrorException>().With.Message.Contains("Step 2: the loss is NaN"));
        Assert.That(Values(tuner.Optimizer.State[0].Tensor), Is.EqualTo(before));
    }

    private Tuner Start(ScalarType type, bool lora)
    {
        Decoder model = Load("qwen2", type);
        if (lora)
        {
            manual_seed(3);
            model.AddAdapters(Lora(dropout: 0.2));
        }

        return new Tuner(model, LossObjective.Dft, anchor: null, new TunerOptions(WeightDecay: 0.1, Seed: 4));
    }

    /// <summary>Goes on to a step.</summary>
    private static void Steps(Tuner tuner, int end)
    {
        var order = new DataOrder(Data.Length, 4, seed: 1);
        while (tuner.Optimizer.Steps < end)
        {
            int[] step = order.Step(tuner.Optimizer.Steps);
            using MicroBatch first = Rows([step[0], step[1]]);
            using MicroBatch second = Rows([step[2]], [step[3]]);
            tuner.Step([first, second], 1e-2);
        }
    }
}
