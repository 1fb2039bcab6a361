using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>A label out of range, where the host does not look at labels.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.Devices))]
public class LabelFaultTests(string path) : TorchTest(path)
{
    [Test]
    public void TheRowIsNaNAndALaterCallThrowsOnce(
        [Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type, [Values(7, -1, long.MaxValue)] long label)
    {
        (Tensor logits, Tensor reference) = Problem(type);
        Tensor loss = AsftFunctional.asft_loss(logits, tensor(new[] { 1, label, -100, 6 }), reference, reduction: Reduction.None);
        Assert.That(Values(loss), Has.Exactly(1).NaN);

        Wait();
        ArgumentOutOfRangeException error = Assert.Throws<ArgumentOutOfRangeException>(() => Valid(logits, reference))!;
        Assert.That(error.ParamName, Is.EqualTo("labels"));
        Assert.That(error.Message, Does.Contain($"labels[1] is {label}, which is neither in [0, 7) nor the ignore index"));
        Assert.That(Values(Valid(logits, reference)), Has.None.NaN);
    }

    /// <summary>A loss is several steps, and a device may be done with the first when the host comes to the last: it throws no fault of its own.</summary>
    [Test]
    public void AReducedLossIsNaN([Values(Reduction.Mean, Reduction.Sum)] Reduction reduction)
    {
        (Tensor logits, Tensor reference) = Problem(ScalarType.Float32);
        Tensor loss = AsftFunctional.asft_loss(logits, tensor(new long[] { 1, 7, -100, 6 }), reference, reduction: reduction);
        Assert.That(Values(loss)[0], Is.NaN);
        Wait();
        Assert.Throws<ArgumentOutOfRangeException>(() => Valid(logits, reference));
        Assert.That(Values(Valid(logits, reference)), Has.None.NaN);
    }

    /// <summary>Nobody could catch it there: the row's gradient is NaN, and the next forward pass throws.</summary>
    [Test]
    public void ABackwardPassDoesNotThrow([Values(ScalarType.Float32, ScalarType.Float16)] ScalarType type, [Values] bool inPlace)
    {
        (Tensor leaf, Tensor reference) = Problem(type);
        Tensor logits = leaf * 1.0;
        Tensor loss = AsftFunctional.asft_loss(
            logits, tensor(new long[] { 1, 7, -100, 6 }), reference, reduction: Reduction.None, inPlace: inPlace);
        Wait();
        string said = ErrorOutput(() => loss.backward([ones_like(loss)]));
        Assert.That(said, Is.Empty);
        Assert.That(Values(Gradient(leaf)[1]), Is.All.NaN);
        Assert.That(Values(Gradient(leaf)[0]), Has.None.NaN);
        Assert.That(() => Valid(leaf, reference), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("labels[1] is 7"));
        Assert.That(Values(Valid(leaf, reference)), Has.None.NaN);
    }

    /// <summary>Neither does that of a linear loss, which computes its logits again: another call's fault is not its own.</summary>
    [Test]
    public void ALinearBackwardPassLeavesTheFaultOfAnotherCall([Values(Reduction.None, Reduction.Mean)] Reduction reduction)
    {
        (Tensor logits, Tensor reference) = Problem(ScalarType.Float32);
        Tensor hidden = randn(3, 5).requires_grad_();
        Tensor weight = randn(7, 5).requires_grad_();
        Tensor loss = AsftFunctional.linear_asft_loss(
            hidden, weight, tensor(new long[] { 1, 2, 3 }), objective: LossObjective.Dft, reduction: reduction);
        Tensor upstream = ones_like(loss);
        loss.backward([upstream], retain_graph: true);
        double[] expected = Values(Gradient(hidden));
        hidden.grad = null;

        AsftFunctional.asft_loss(logits, tensor(new long[] { 1, 7, -100, 6 }), reference, reduction: Reduction.None);
        Wait();
        string said = ErrorOutput(() => loss.backward([upstream]));

        Assert.That(said, Is.Empty);
        AssertClose(Values(Gradient(hidden)), expected, 1e-7, 1e-5, "the gradient again");
        Assert.That(() => Valid(logits, reference), Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("labels[1] is 7"));
        Assert.That(Values(Valid(logits, reference)), Has.None.NaN);
    }

    [Test]
    public void ALinearForwardPassThrowsTheFaultOfAnotherCallOnce()
    {
        (Tensor logits, Tensor reference) = Problem(ScalarType.Float32);
        AsftFunctional.asft_loss(logits, tensor(new long[] { 1, 7, -100, 6 }), reference);
        Wait();
        Assert.That(Linear, Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("labels[1] is 7"));
        Assert.That(Values(Linear()), Has.None.NaN);

        static Tensor Linear() =>
            AsftFunctional.linear_asft_loss(randn(2, 5), randn(7, 5), tensor(new long[] { 1, 2 }), objective: LossObjective.Sft);
    }

    [Test]
    public void TheOtherRowsAreAsTheyWouldBe([Values] bool inPlace)
    {
        (Tensor logits, Tensor reference) = Problem(ScalarType.Float32);
        Tensor expected = AsftFunctional.asft_loss(logits, tensor(new long[] { 1, 2, -100, 6 }), reference, reduction: Reduction.None);
        AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            Computed(logits), tensor(new long[] { 1, 9, -100, 6 }), reference, reduction: Reduction.None, inPlace: inPlace);
        double[] actual = Values(result.TokenLoss);
        foreach (int row in (int[])[0, 2, 3])
        {
            Assert.That(actual[row], Is.EqualTo(Values(expected)[row]));
        }

        Assert.That(actual[1], Is.NaN);
        Assert.That(Values(result.TokenLogProbability)[1], Is.NaN);
        Assert.That(() => result.TokenCount, Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("labels[1] is 9"));
    }

    /// <summary>The count is the natural place for the host to wait, so that is where a fault comes out; after that, it is a number.</summary>
    [Test]
    public void TheTokenCountThrowsAndThenCounts()
    {
        (Tensor logits, Tensor reference) = Problem(ScalarType.Float32);
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            logits, tensor(new long[] { 1, 9, -100, 6 }), reference, reduction: Reduction.None);
        Assert.That(() => result.TokenCount, Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(result.TokenCount, Is.EqualTo(3));
    }

    [Test]
    public void ATokenCountThatWasNeverLookedAtIsGoneWithTheResult()
    {
        (Tensor logits, Tensor reference) = Problem(ScalarType.Float32);
        AsftLossResult seen = AsftFunctional.asft_loss_with_metrics(logits, tensor(new long[] { 1, -100, -100, 6 }), reference);
        AsftLossResult unseen = AsftFunctional.asft_loss_with_metrics(logits, tensor(new long[] { 1, -100, -100, 6 }), reference);
        Assert.That(seen.TokenCount, Is.EqualTo(2));
        seen.Dispose();
        unseen.Dispose();
        Assert.That(seen.TokenCount, Is.EqualTo(2));
        Assert.That(() => unseen.TokenCount, Throws.TypeOf<ObjectDisposedException>());
    }

    /// <summary>The linear loss has to know its labels, so it refuses them before any work, as on the host.</summary>
    [Test]
    public void TheLinearLossThrowsAtOnce() => Assert.That(
        () => AsftFunctional.linear_asft_loss(randn(2, 3), randn(7, 3), tensor(new long[] { 1, 7 }), objective: LossObjective.Sft),
        Throws.TypeOf<ArgumentOutOfRangeException>().With.Message.Contains("labels[1] is 7"));

    private static (Tensor Logits, Tensor Reference) Problem(ScalarType type) =>
        (randn(4, 7).to(type).requires_grad_(), randn(4, 7).to(type));

    private static Tensor Valid(Tensor logits, Tensor reference) =>
        AsftFunctional.asft_loss(logits, tensor(new long[] { 1, 2, 3, 4 }), reference);

    private void Wait()
    {
        if (TakenPath == LossPath.Cuda)
        {
            cuda.synchronize();
        }
    }
}
