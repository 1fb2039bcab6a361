using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using Asft.Kernels.Cpu;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>One graph in two backward passes at once, and kernels that fail.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.Fast))]
public class ThreadTests(string path) : TorchTest(path)
{
    /// <summary>Two threads' passes add their gradients up, as they do for losses of torch's own.</summary>
    [Test]
    public void TwoBackwardPassesAtOnceGiveTheSum([Values("mean", "none", "linear")] string kind)
    {
        const int Iterations = 400;
        Tensor leaf = randn(3, 400).requires_grad_();
        Tensor weight = randn(40, 400).requires_grad_();
        Tensor labels = tensor(new long[] { 1, 2, 3 });
        Loss().backward();
        Tensor expected = Gradient(leaf) * 2;
        using var together = new Barrier(2);
        for (int i = 0; i < Iterations; i++)
        {
            using var scope = NewDisposeScope();
            leaf.grad = null;
            Tensor loss = Loss();
            Thread[] threads = [.. Enumerable.Range(0, 2).Select(_ => new Thread(() =>
            {
                together.SignalAndWait();
                loss.backward(retain_graph: true);
            }))];
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            AssertClose(Gradient(leaf), expected, 1e-7, 1e-5, $"iteration {i}");
        }

        Tensor Loss() => kind switch
        {
            "mean" => AsftFunctional.asft_loss(leaf, labels, objective: LossObjective.Dft),
            "none" => AsftFunctional.asft_loss(leaf, labels, objective: LossObjective.Dft, reduction: Reduction.None).sum(),
            _ => AsftFunctional.linear_asft_loss(leaf, weight, labels, objective: LossObjective.Dft),
        };
    }

    /// <summary>The exception is the caller's; logits that may be half overwritten are taken for no logits any more.</summary>
    [Test]
    public void RefusedMemoryIsAnException([Values] bool inPlace)
    {
        Tensor leaf = randn(3, 400).requires_grad_();
        Tensor logits = Computed(leaf);
        Tensor labels = tensor(new long[] { 1, 2, 3 });
        using (KernelChooser.Substitute(new CpuTokenLossKernel(TorchTeam.Instance, 512, _ => throw new InsufficientMemoryException())))
        {
            Assert.That(() => Loss(inPlace), Throws.InstanceOf<OutOfMemoryException>());
        }

        using (LossPath.Take(TakenPath))
        {
            Assert.That(() => Loss(inPlace: false), inPlace ? Throws.InvalidOperationException : Throws.Nothing);
        }

        Tensor Loss(bool inPlace) => AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Dft, inPlace: inPlace);
    }
}
