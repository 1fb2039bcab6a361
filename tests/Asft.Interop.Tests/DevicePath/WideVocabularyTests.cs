using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>Few rows of a large vocabulary, as in decoding-sized batches: on a GPU, several blocks share a row then.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.Devices))]
public class WideVocabularyTests(string path) : TorchTest(path)
{
    private const long Vocabulary = 40_003;

    [Test]
    public void LossAndGradientAreThoseOfTheComposedFormula(
        [Values("asft", "asft reverse", "everything", "dft", "importance")] string name,
        [Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type,
        [Values(Reduction.Mean, Reduction.None)] Reduction reduction,
        [Values] bool inPlace)
    {
        LossObjective objective = Objectives.All[name];
        Tensor logits = (randn(3, Vocabulary) * 3).to(type).clone();
        Tensor reference = (logits.to(ScalarType.Float32) + randn(3, Vocabulary)).to(type);
        Tensor labels = tensor(new long[] { Vocabulary - 1, objective.IgnoreIndex, 0 });
        Tensor exact = logits.to(ScalarType.Float64).requires_grad_();
        Tensor expected = ComposedLoss.Reduce(
            ComposedLoss.Tokens(exact, labels, reference.to(ScalarType.Float64), objective), labels, objective, reduction);
        expected.backward([ones_like(expected)]);

        logits.requires_grad = true;
        Tensor actual = AsftFunctional.asft_loss(Computed(logits), labels, reference, objective, reduction, inPlace: inPlace);
        actual.backward([ones_like(actual)]);

        AssertLoss(actual, expected, type, "loss");
        AssertGradient(Gradient(logits), Gradient(exact), type, 1, "gradient");
    }
}
