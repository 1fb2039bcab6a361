using System.Runtime.InteropServices;
using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>What the engine's "invalid gradient" stands for.</summary>
[NonParallelizable]
[TestFixtureSource(typeof(LossPath), nameof(LossPath.Fast))]
public class BackwardErrorTests(string path) : TorchTest(path)
{
    [Test]
    public void TheExceptionItselfIsKept()
    {
        Tensor logits = Computed(randn(3, 5).requires_grad_());
        Tensor loss = AsftFunctional.asft_loss(logits, zeros([3], ScalarType.Int64), objective: LossObjective.Sft, inPlace: true);
        string said = ErrorOutput(() => Assert.That(() => loss.backward([ones_like(loss)], create_graph: true), Throws.InstanceOf<ExternalException>()));
        Assert.Multiple(() =>
        {
            Assert.That(AsftRuntime.LastBackwardError, Is.InstanceOf<NotSupportedException>().With.Message.Contains("create_graph"));
            Assert.That(AsftRuntime.LastBackwardError?.StackTrace, Does.Contain("LossGraph"));
            Assert.That(said, Does.Contain("asft_loss").And.Contain(AsftRuntime.LastBackwardError!.Message).And.Contain("AsftRuntime.LastBackwardError"));
        });
    }

    [Test]
    public void ItIsTheLatest()
    {
        Fail(Reduction.Mean, loss => loss.backward());
        Exception first = AsftRuntime.LastBackwardError!;
        Fail(Reduction.None, loss => loss.sum().backward(), changes: true);
        Assert.That(first.Message, Does.Contain("second time"));
        Assert.That(AsftRuntime.LastBackwardError, Is.InstanceOf<ExternalException>().With.Message.Contains("modified by an inplace operation"));
    }

    /// <summary>The loss on hidden states says the same in the same place.</summary>
    [Test]
    public void OfALinearLoss()
    {
        Tensor hidden = randn(3, 4).requires_grad_();
        Tensor loss = AsftFunctional.linear_asft_loss(hidden, randn(5, 4), zeros([3], ScalarType.Int64), objective: LossObjective.Sft);
        string said = ErrorOutput(() => Assert.That(() => loss.backward([ones_like(loss)], create_graph: true), Throws.InstanceOf<ExternalException>()));
        Assert.That(AsftRuntime.LastBackwardError, Is.InstanceOf<NotSupportedException>());
        Assert.That(said, Does.Contain("linear_asft_loss"));
    }

    /// <summary>A failed backward pass costs the loss nothing but itself.</summary>
    [Test]
    public void TheNextOneWorks([Values(4, 40_000)] int vocabulary)
    {
        Fail(Reduction.Mean, loss => loss.backward());
        Tensor leaf = randn(3, vocabulary).requires_grad_();
        Tensor expected = leaf.detach().clone().requires_grad_();
        functional.cross_entropy(expected, zeros([3], ScalarType.Int64)).backward();
        AsftFunctional.asft_loss(leaf, zeros([3], ScalarType.Int64), objective: LossObjective.Sft).backward();
        AssertGradient(Gradient(leaf), Gradient(expected).to(ScalarType.Float64), ScalarType.Float32, 1, "gradient");
    }

    private static void Fail(Reduction reduction, Action<Tensor> backward, bool changes = false)
    {
        Tensor logits = Computed(randn(3, 5).requires_grad_());
        Tensor loss = AsftFunctional.asft_loss(logits, zeros([3], ScalarType.Int64), objective: LossObjective.Sft, reduction: reduction);
        if (changes)
        {
            logits.mul_(2);
        }
        else
        {
            loss.backward();
        }

        ErrorOutput(() => Assert.That(() => backward(loss), Throws.InstanceOf<ExternalException>()));
    }
}
