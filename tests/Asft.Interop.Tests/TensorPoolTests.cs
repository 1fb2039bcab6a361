using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>The memory of large gradients serves the next step, never two tensors at once, and goes back to the system when asked.</summary>
[NonParallelizable]
public class TensorPoolTests() : TorchTest
{
    private const long Bytes = 64 * 8192 * sizeof(float);

    private long _limit;

    [SetUp]
    public void Empty()
    {
        AsftRuntime.EmptyMemoryCache();
        _limit = AsftRuntime.MemoryCacheLimit;
    }

    [TearDown]
    public void Restore()
    {
        AsftRuntime.MemoryCacheLimit = _limit;
        AsftRuntime.EmptyMemoryCache();
    }

    [Test]
    public void AGradientTakesTheMemoryOfTheOneBefore()
    {
        Tensor logits = Logits();
        nint first = Step(logits);
        Assert.That(AsftRuntime.CachedMemory, Is.EqualTo(Bytes));
        Assert.That(Step(logits), Is.EqualTo(first));
        Assert.That(AsftRuntime.CachedMemory, Is.EqualTo(Bytes));
    }

    [Test]
    public void NoTwoLivingTensorsShareIt()
    {
        (Tensor a, Tensor b) = (Logits(), Logits());
        Loss(a).backward();
        double[] before = Values(Gradient(a));
        Loss(b).backward();
        Assert.That(Address(Gradient(b)), Is.Not.EqualTo(Address(Gradient(a))));
        Assert.That(Values(Gradient(a)), Is.EqualTo(before));
        Assert.That(AsftRuntime.CachedMemory, Is.Zero);
    }

    [Test]
    public void AViewKeepsIt()
    {
        Tensor logits = Logits();
        Loss(logits).backward();
        Tensor gradient = Gradient(logits);
        Tensor row = gradient[3];
        gradient.Dispose();
        double[] before = Values(row);
        Forget(logits);
        Assert.That(AsftRuntime.CachedMemory, Is.Zero);
        Step(logits);
        Assert.That(Values(row), Is.EqualTo(before));
    }

    [Test]
    public void ALossWithoutABackwardPassGivesItBack()
    {
        Loss(Logits()).Dispose();
        Assert.That(AsftRuntime.CachedMemory, Is.EqualTo(Bytes));
    }

    [Test]
    public void OfAnotherSizeItIsTakenWhereLittleIsWasted()
    {
        Tensor logits = Logits();
        nint first = Step(logits);
        Assert.That(Step(logits.detach()[..60].requires_grad_(true)), Is.EqualTo(first), "a little smaller");
        Step(logits.detach()[..20].contiguous().requires_grad_(true));
        Assert.That(AsftRuntime.CachedMemory, Is.GreaterThanOrEqualTo(Bytes), "far smaller: torch's own");
        Assert.That(Step(cat([logits.detach(), logits.detach()]).requires_grad_(true)), Is.Not.EqualTo(first), "larger");
        Assert.That(AsftRuntime.CachedMemory, Is.EqualTo(3 * Bytes));
    }

    [Test]
    public void ItIsBounded()
    {
        AsftRuntime.MemoryCacheLimit = Bytes - 1;
        Step(Logits());
        Assert.That(AsftRuntime.CachedMemory, Is.Zero);
        AsftRuntime.MemoryCacheLimit = Bytes;
        Step(Logits());
        Assert.That(AsftRuntime.CachedMemory, Is.EqualTo(Bytes));
        AsftRuntime.MemoryCacheLimit = 0;
        Assert.That(AsftRuntime.CachedMemory, Is.Zero);
        Assert.That(() => AsftRuntime.MemoryCacheLimit = -1, Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("-1"));
    }

    [Test]
    public void ItGoesBackWhenAsked()
    {
        Step(Logits());
        AsftRuntime.EmptyMemoryCache();
        Assert.That(AsftRuntime.CachedMemory, Is.Zero);
    }

    [Test]
    public void LogitsOfOtherStridesKeepTheirs()
    {
        Tensor logits = randn(8192, 2, 32).permute(1, 2, 0).contiguous().transpose(0, 1).requires_grad_(true);
        Tensor labels = zeros([32, 2], ScalarType.Int64);
        AsftFunctional.asft_loss(logits, labels, objective: LossObjective.Sft).backward();
        Assert.That(Gradient(logits).stride(), Is.EqualTo(logits.stride()));
        Tensor copy = logits.detach().contiguous().requires_grad_(true);
        AsftFunctional.asft_loss(copy, labels, objective: LossObjective.Sft).backward();
        Assert.That(Values(Gradient(logits)), Is.EqualTo(Values(Gradient(copy))));
    }

    private static Tensor Logits() => randn(64, 8192).requires_grad_(true);

    private static Tensor Loss(Tensor logits) =>
        AsftFunctional.asft_loss(logits, zeros([logits.size(0)], ScalarType.Int64), objective: LossObjective.Sft);

    /// <summary>A step, after which nobody has its gradient.</summary>
    /// <returns>Where that was.</returns>
    private static nint Step(Tensor logits)
    {
        using (Tensor loss = Loss(logits))
        {
            loss.backward();
        }

        using Tensor gradient = Gradient(logits); // each look at it makes a wrapper
        nint address = Address(gradient);
        Forget(logits);
        return address;
    }

    private static void Forget(Tensor logits)
    {
        using Tensor? gradient = logits.grad;
        logits.grad = null;
    }
}
