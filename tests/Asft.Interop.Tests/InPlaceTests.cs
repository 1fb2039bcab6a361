using System.Runtime.InteropServices;
using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>What may be overwritten, and who is told.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class InPlaceTests(string path) : TorchTest(path)
{
    private const int V = 9;

    /// <summary>Two halves of [4, 2, V], each [.., V], as chosen and rejected answers may lie in one batch.</summary>
    private static readonly Dictionary<string, Func<Tensor, Tensor[]>> s_halves = new()
    {
        ["one after the other"] = logits => [logits.narrow(0, 0, 2), logits.narrow(0, 2, 2)],
        ["in turn"] = logits => [logits.select(1, 0), logits.select(1, 1)],
        ["columns"] = logits => [logits.narrow(2, 0, 4), logits.narrow(2, 4, 5)],
    };

    private static readonly Dictionary<string, Func<Tensor, Tensor>> s_leaves = new()
    {
        ["itself"] = leaf => leaf,
        ["view"] = leaf => leaf.view(8, V),
        ["view of a view"] = leaf => leaf.view(8, V).narrow(0, 2, 3),
        ["chunk"] = leaf => leaf.chunk(2)[1],
        ["expanded"] = leaf => leaf[0].unsqueeze(0).expand(3, 2, V),
    };

    private static IEnumerable<string> Halves => s_halves.Keys;

    private static IEnumerable<string> Leaves => s_leaves.Keys;

    [Test]
    public void ALeafThatRequiresGradIsRefused([ValueSource(nameof(Leaves))] string name, [Values] Reduction reduction)
    {
        Tensor leaf = randn(4, 2, V).requires_grad_();
        Tensor logits = s_leaves[name](leaf);
        double[] before = Values(leaf);
        ArgumentException error = Assert.Throws<ArgumentException>(() => Loss(logits, reduction))!;
        Assert.That(error.ParamName, Is.EqualTo("inPlace"));
        Assert.That(error.Message, Does.Contain("logits").And.Contain("inPlace: false"));
        Assert.That(Values(leaf), Is.EqualTo(before));
        using (no_grad())
        {
            Assert.That(() => Loss(logits, reduction), Throws.Nothing, "no gradient is wanted");
        }
    }

    /// <summary>Accumulated gradients are what a leaf's overwritten memory would get wrong: with a computed tensor they add up.</summary>
    [Test]
    public void GradientsAccumulate([Values] Reduction reduction)
    {
        Tensor leaf = randn(4, 2, V).requires_grad_();
        Loss(leaf, reduction, inPlace: false).sum().backward();
        double[] once = Values(Gradient(leaf));
        leaf.grad = null;
        Loss(Computed(leaf), reduction).sum().backward();
        Loss(Computed(leaf), reduction).sum().backward();
        AssertClose(Values(Gradient(leaf)), [.. once.Select(value => 2 * value)], 1e-7, 1e-5, "sum");
    }

    [Test]
    public void DisjointHalvesAreTwoLosses([ValueSource(nameof(Halves))] string name, [Values] Reduction first, [Values] Reduction second)
    {
        Tensor leaf = randn(4, 2, V).requires_grad_();
        Tensor[] expected = s_halves[name](leaf);
        (Loss(expected[0], first, inPlace: false).sum() - (Loss(expected[1], second, inPlace: false).sum() * 0.5)).backward();
        double[] separate = Values(Gradient(leaf));
        leaf.grad = null;

        Tensor logits = Computed(leaf);
        Tensor[] halves = s_halves[name](logits);
        (Loss(halves[0], first).sum() - (Loss(halves[1], second).sum() * 0.5)).backward();

        AssertSameBits(Values(Gradient(leaf)), separate);
    }

    [Test]
    public void DisjointHalvesOneAfterTheOther([Values] Reduction reduction)
    {
        Tensor leaf = randn(4, 2, V).requires_grad_();
        Loss(leaf, Reduction.Sum, inPlace: false).backward();
        double[] both = Values(Gradient(leaf));
        leaf.grad = null;
        Tensor[] halves = s_halves["one after the other"](Computed(leaf));
        Tensor[] losses = [.. halves.Select(half => Loss(half, reduction == Reduction.Mean ? Reduction.Sum : reduction).sum())];
        losses[0].backward(retain_graph: true);
        losses[1].backward();
        AssertClose(Values(Gradient(leaf)), both, 1e-7, 1e-5, "sum of both");
    }

    /// <summary>Torch lets nobody overwrite one of the views that an operation returns together; narrow gives one at a time.</summary>
    [Test]
    public void ChunksAreTorchsOwnError([Values(Reduction.Mean, Reduction.Sum)] Reduction reduction)
    {
        Tensor[] halves = Computed(randn(4, 2, V).requires_grad_()).chunk(2);
        Assert.That(() => Loss(halves[0], reduction), Throws.InstanceOf<ExternalException>().With.Message.Contains("multiple views"));
    }

    /// <summary>Carrying the version over the other half's write must not hide a write by somebody else, before it or after it.</summary>
    [Test]
    public void AHalfThatWasChangedIsAnError([Values] Reduction reduction, [Values] bool before)
    {
        Tensor[] halves = s_halves["one after the other"](Computed(randn(4, 2, V).requires_grad_()));
        Tensor loss = Loss(halves[0], reduction).sum();
        Change(before);
        Tensor other = Loss(halves[1], reduction);
        Change(!before);
        string said = ErrorOutput(() => Assert.That(() => loss.backward(), Throws.InstanceOf<ExternalException>()));
        Assert.That(said, Does.Contain("modified by an inplace operation"));
        GC.KeepAlive(other);

        void Change(bool now)
        {
            if (now)
            {
                using IDisposable noGrad = no_grad();
                halves[0].mul_(2);
            }
        }
    }

    [Test]
    public void OverwrittenLogitsAreNoLogits([Values] bool backwardFirst, [Values] bool asView, [Values] bool inPlace)
    {
        Tensor logits = Computed(randn(4, 2, V).requires_grad_());
        Tensor loss = Loss(logits, Reduction.Mean);
        if (backwardFirst)
        {
            loss.backward();
        }

        Tensor again = asView ? logits.view(8, V).narrow(0, 7, 1) : logits;
        InvalidOperationException error = Assert.Throws<InvalidOperationException>(() => Loss(again, Reduction.Mean, inPlace))!;
        Assert.That(error.Message, Does.Contain("logits").And.Contain("inPlace"));
        error = Assert.Throws<InvalidOperationException>(
            () => AsftFunctional.asft_loss(randn(again.shape), zeros(again.shape[..^1], ScalarType.Int64), again))!;
        Assert.That(error.Message, Does.Contain("reference"));
    }

    /// <summary>What is written later is told later: of two losses that wait for their backward passes, one comes too late.</summary>
    [Test]
    public void TwoDeferredLossesOnTheSameLogitsAreAnError()
    {
        Tensor logits = Computed(randn(4, 2, V).requires_grad_());
        Tensor sum = Loss(logits, Reduction.None).sum() + Loss(logits.narrow(0, 1, 2), Reduction.None).sum();
        string said = ErrorOutput(() => Assert.That(() => sum.backward(), Throws.InstanceOf<ExternalException>()));
        Assert.That(said, Does.Contain("modified by an inplace operation"));
        Assert.That(() => Loss(logits, Reduction.None), Throws.InvalidOperationException);
    }

    /// <summary>Memory that was given new logits, and other logits that got the memory of disposed ones, are none of anybody's business.</summary>
    [Test]
    public void NewLogitsInTheSameMemoryAreLogits([Values] bool disposed)
    {
        Tensor leaf = randn(4, 2, V).requires_grad_();
        Tensor logits = Computed(leaf);
        Loss(logits, Reduction.Mean).backward();
        double[] once = Values(Gradient(leaf));
        leaf.grad = null;
        for (int i = 0; i < 20; i++)
        {
            if (disposed)
            {
                logits.Dispose();
                logits = Computed(leaf);
            }
            else
            {
                using IDisposable noGrad = no_grad();
                logits.copy_(leaf);
            }

            Assert.That(() => Loss(logits, Reduction.Mean, inPlace: i % 2 == 0), Throws.Nothing);
        }

        Loss(Computed(leaf), Reduction.Mean).backward();
        AssertSameBits(Values(Gradient(leaf)), once);
    }

    private static Tensor Loss(Tensor logits, Reduction reduction, bool inPlace = true) => AsftFunctional.asft_loss(
        logits, zeros(logits.shape[..^1], ScalarType.Int64), objective: LossObjective.Dft, reduction: reduction, inPlace: inPlace);
}
