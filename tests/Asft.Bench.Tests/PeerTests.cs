using Asft.Bench.Peers;
using Asft.Bench.Problems;
using Asft.Interop;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Tests;

/// <summary>Only what computes the same may be compared.</summary>
public class PeerTests
{
    [Test]
    public void All_peers_have_the_losses_value_and_gradient(
        [Values] BenchObjective name, [Values(0, 0.4)] double ignored, [Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        using DisposeScope scope = NewDisposeScope();
        manual_seed(3);
        LossObjective objective = name.Objective();
        const long Rows = 70;
        const long Vocabulary = 40_000; // a chunk of the tuned peer is 26 rows
        Tensor start = randn(Rows, Vocabulary).mul_(3);
        Tensor reference = randn(Rows, Vocabulary).mul_(0.3).add_(start).to(type);
        Tensor labels = start.argmax(-1); // likely labels, so that no weight is next to 0
        labels = labels.masked_fill(randperm(Rows) < (long)(ignored * Rows), -100);
        start = start.to(type);

        (double Loss, Tensor Gradient) Graph(Func<Tensor, Tensor> loss)
        {
            Tensor logits = start.clone().requires_grad_();
            Tensor value = loss(logits);
            value.backward();
            return (value.to(ScalarType.Float64).item<double>(), logits.grad!);
        }

        (double fused, Tensor fusedGradient) = Graph(logits => AsftFunctional.asft_loss(logits, labels, reference, objective));
        (double composed, Tensor composedGradient) = Graph(logits => Composed.Loss(objective, logits, labels, reference));
        Tensor inPlace = start.clone();
        double tuned = Tuned.Loss(objective, inPlace, labels, reference, gradient: true).item<float>();
        double forward = Tuned.Loss(objective, start, labels, reference, gradient: false).item<float>();

        Assert.That(fused, Is.EqualTo(composed).Within(1e-4).Percent.Or.EqualTo(composed).Within(2e-6));
        Assert.That(tuned, Is.EqualTo(composed).Within(1e-3).Percent.Or.EqualTo(composed).Within(2e-6));
        Assert.That(forward, Is.EqualTo(tuned));
        double tolerance = type == ScalarType.Float32 ? 1e-5 : 6e-3; // bfloat16 rounds each gradient by up to 1/256
        Assert.That(Distance(fusedGradient, composedGradient), Is.LessThan(tolerance));
        Assert.That(Distance(inPlace, composedGradient), Is.LessThan(tolerance));
    }

    private static double Distance(Tensor actual, Tensor expected) =>
        ((actual.to(ScalarType.Float64) - expected.to(ScalarType.Float64)).norm() / expected.to(ScalarType.Float64).norm()).item<double>();
}
