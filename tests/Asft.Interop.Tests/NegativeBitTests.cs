using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>
/// Views whose memory holds the opposite sign, as torch gives them for the imaginary part of a conjugated tensor. The other lazy bit, that
/// of a conjugated tensor itself, belongs to complex tensors alone, which are refused.
/// </summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class NegativeBitTests(string path) : TorchTest(path)
{
    [Test]
    public void LogitsAndReference([Values] Reduction reduction, [Values] bool inPlace)
    {
        Tensor logits = randn(3, 7).requires_grad_();
        Tensor reference = randn(3, 7);
        Tensor labels = tensor(new long[] { 1, -100, 6 });
        Tensor upstream = reduction == Reduction.None ? randn(3) : tensor(0.3f);
        Tensor expected = AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction);
        expected.backward([upstream]);
        double[] gradient = Values(Gradient(logits));
        logits.grad = null;

        Tensor actual = AsftFunctional.asft_loss(Negative(Computed(logits)), labels, Negative(reference), reduction: reduction, inPlace: inPlace);
        actual.backward([Negative(upstream)]);

        AssertSameBits(Values(actual), Values(expected));
        AssertSameBits(Values(Gradient(logits)), gradient);
    }

    [Test]
    public void ATokenCount()
    {
        Tensor logits = randn(3, 7);
        Tensor labels = tensor(new long[] { 1, -100, 6 });
        Assert.That(
            Values(AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft, tokenCount: Negative(tensor(5f)))),
            Is.EqualTo(Values(AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft, tokenCount: tensor(5f)))));
    }

    [Test]
    public void EveryInputOfTheLinearLoss([Values] Reduction reduction, [Values] bool ownHead)
    {
        Tensor[] inputs = [randn(3, 5).requires_grad_(), randn(7, 5).requires_grad_(), randn(7).requires_grad_()];
        Tensor referenceHidden = randn(3, 5);
        Tensor[] head = ownHead ? [randn(7, 5), randn(7)] : [];
        Tensor upstream = reduction == Reduction.None ? randn(3) : tensor(0.3f);
        Tensor expected = Loss(inputs, [referenceHidden, .. head]);
        expected.backward([upstream], retain_graph: true);
        double[][] gradients = Take();
        Tensor actual = Loss([.. inputs.Select(Negative)], [Negative(referenceHidden), .. head.Select(Negative)]);
        actual.backward([Negative(upstream)], retain_graph: true);
        AssertClose(Values(actual), Values(expected), 1e-6, 1e-6, "loss");
        double[][] again = Take();
        for (int i = 0; i < inputs.Length; i++)
        {
            AssertClose(again[i], gradients[i], 1e-6, 1e-5, $"gradient of input {i}");
        }

        Tensor Loss(Tensor[] own, Tensor[] reference) => AsftFunctional.linear_asft_loss(
            own[0],
            own[1],
            tensor(new long[] { 1, -100, 6 }),
            own[2],
            TokenReference.Hidden(reference[0], reference.ElementAtOrDefault(1), reference.ElementAtOrDefault(2)),
            reduction: reduction);

        double[][] Take() => [.. inputs.Select(input =>
        {
            double[] values = Values(Gradient(input));
            input.grad = null;
            return values;
        })];
    }

    /// <summary>The policy's weight with the opposite sign is another head, though it lies in the same memory.</summary>
    [Test]
    public void AReferenceHeadInTheMemoryOfThePolicys()
    {
        Tensor both = complex(zeros(7, 5), randn(7, 5)).conj();
        Tensor negative = imag(both);
        Tensor positive = imag(both.conj());
        Assert.That(negative.is_neg() && !positive.is_neg() && Address(negative) == Address(positive));
        Tensor hidden = randn(3, 5);
        Tensor labels = tensor(new long[] { 1, 2, 6 });
        Tensor actual = AsftFunctional.linear_asft_loss(hidden, positive, labels, reference: TokenReference.Hidden(hidden, negative));
        Tensor expected = AsftFunctional.linear_asft_loss(hidden, positive.clone(), labels, reference: TokenReference.Hidden(hidden, negative.clone()));
        AssertClose(actual, expected, 1e-6, 1e-6, "loss");
    }

    [Test]
    public void ConjugatedTensorsAreRefused() => Assert.That(
        () => AsftFunctional.asft_loss(complex(randn(3, 7), randn(3, 7)).conj(), zeros(3, ScalarType.Int64), objective: LossObjective.Sft),
        Throws.ArgumentException.With.Message.Contains("Complex"));

    /// <summary>Equal values, stored with the opposite sign; differentiable.</summary>
    private static Tensor Negative(Tensor values)
    {
        Tensor negative = imag(complex(zeros_like(values), -values).conj());
        Assert.That(negative.is_neg(), "torch has negated it already");
        return negative;
    }
}
