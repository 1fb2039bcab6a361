using Asft.Kernels;
using FineTune.Checkpoint;
using FineTune.Transformer;
using FineTune.Tuning;
using static TorchSharp.torch;

namespace FineTune.Tests.Tuning;

/// <summary>Ways to the same step: what is merged, packed, accumulated or computed again gives what is apart, alone, at once or kept.</summary>
public class EqualityTests : TuningTest
{
    private const double Rounding = 1e-5;

    [Test]
    public void AdaptersGiveTheSameMergedAsApart()
    {
        Decoder model = Load("llama with biases");
        AddAdapters(model, Lora());
        model.eval();
        CheckpointWriter.Write(PathOf("merged"), PathOf("llama with biases"), model);
        Decoder merged = CheckpointReader.Load(PathOf("merged"));
        using var noGrad = no_grad();
        Tensor tokens = tensor(Data[0].Tokens.Select(token => (long)token).ToArray()).unsqueeze(0);
        AssertClose(Values(model.forward(tokens)), Values(merged.forward(tokens)), Rounding);

        using (model.WithoutAdapters())
        {
            AssertClose(Values(model.forward(tokens)), Values(Load("llama with biases").forward(tokens)), 1e-30);
        }
    }

    [Test]
    public void PassesGiveTheSameAsOneLargeBatch([Values] bool lora)
    {
        (float[] Gradients, TunerStep Step) large = Step(lora, false, [Rows([0], [1], [2], [3], [4], [5])]);
        (float[] Gradients, TunerStep Step) small = Step(lora, false, [Rows([0], [1]), Rows([2]), Rows([4]), Rows([3], [5])]);
        AssertSame(small, large);
    }

    [Test]
    public void PackedRowsGiveTheSameAsRowsOfOneExample([Values] bool lora)
    {
        (float[] Gradients, TunerStep Step) alone = Step(lora, false, [Rows([0], [1], [2], [3], [4], [5])]);
        (float[] Gradients, TunerStep Step) packed = Step(lora, false, [Rows([2, 0, 5], [1, 4, 3])]);
        AssertSame(packed, alone);
    }

    /// <summary>To the last bit: it is the same computation. Dropout is drawn again as it was.</summary>
    [Test]
    public void LayersComputedAgainGiveTheSameAsLayersKept([Values] bool lora)
    {
        // Of several passes, a tied weight's gradients from head and embedding would be added in another order.
        MicroBatch[] Batches() => lora ? [Rows([0, 1], [2]), Rows([3], [5])] : [Rows([0, 1], [2], [3, 5])];
        (float[] Gradients, TunerStep Step) kept = Step(lora, false, Batches(), dropout: 0.3);
        (float[] Gradients, TunerStep Step) again = Step(lora, true, Batches(), dropout: 0.3);
        Assert.That(again.Step, Is.EqualTo(kept.Step));
        Assert.That(again.Gradients.SequenceEqual(kept.Gradients), Is.True);
    }

    private (float[] Gradients, TunerStep Step) Step(bool lora, bool recompute, MicroBatch[] batches, double dropout = 0)
    {
        manual_seed(3);
        Decoder model = Load("qwen3");
        if (lora)
        {
            AddAdapters(model, Lora(dropout));
        }

        // Another reference than the model, so that there is something to be held to.
        using var tuner = new Tuner(
            model, LossObjective.Asft(0.5), new FrozenAnchor(Load("qwen2")), new TunerOptions(MaxGradientNorm: 1e9, Recompute: recompute));
        TunerStep step = tuner.Step(batches, 1e-3);
        Array.ForEach(batches, batch => batch.Dispose());
        Assert.That(step.Kl, Is.GreaterThan(0.1));
        return (Gradients(tuner), step);
    }

    private static void AssertSame((float[] Gradients, TunerStep Step) actual, (float[] Gradients, TunerStep Step) expected)
    {
        AssertClose(actual.Gradients, expected.Gradients, Rounding);
        AssertClose(Numbers(actual.Step), Numbers(expected.Step), Rounding);
    }

    private static float[] Numbers(TunerStep step) =>
        [(float)step.Loss, (float)step.Kl, (float)step.Entropy, (float)step.LabelProbability, (float)step.GradientNorm];
}
