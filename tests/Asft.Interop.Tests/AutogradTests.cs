using System.Runtime.InteropServices;
using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>The loss as a citizen of torch's graph.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class AutogradTests(string path) : TorchTest(path)
{
    private static IEnumerable<string> Names => Objectives.Names;

    [Test]
    public void GradientReachesTheWeightsOfAModel([Values] bool inPlace, [Values] Reduction reduction)
    {
        Tensor hidden = randn(6, 8, dtype: ScalarType.Float64);
        Tensor weight = randn(8, 11, dtype: ScalarType.Float64).requires_grad_();
        Tensor same = weight.detach().clone().requires_grad_();
        Tensor reference = randn(6, 11, dtype: ScalarType.Float64);
        Tensor labels = tensor(new long[] { 0, 10, -100, 3, 4, 5 });
        Tensor tokens = ComposedLoss.Tokens(hidden.matmul(same), labels, reference, LossObjective.Asft());
        ComposedLoss.Reduce(tokens, labels, LossObjective.Asft(), reduction).sum().backward();

        AsftFunctional.asft_loss(hidden.matmul(weight), labels, reference, reduction: reduction, inPlace: inPlace).sum().backward();

        AssertGradient(Gradient(weight), Gradient(same), ScalarType.Float64, 10, "weight");
    }

    [Test]
    public void GradientsOfOtherUsesOfTheLogitsAdd([Values] bool inPlace)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float64);
        AsftFunctional.asft_loss(logits, labels, reference).backward();
        Tensor alone = Gradient(logits).clone();

        Tensor again = logits.detach().clone().requires_grad_();
        Tensor used = again * 1.0;
        Tensor sum = used.sum() * 0.5;
        (AsftFunctional.asft_loss(used, labels, reference, inPlace: inPlace) + sum).backward();

        AssertClose(Gradient(again), alone + 0.5, 1e-15, 1e-15, "sum of gradients");
    }

    [Test]
    public void GradFunctionGivesTheSameGradient([Values] bool inPlace)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        AsftFunctional.asft_loss(logits, labels, reference).backward();
        Tensor again = logits.detach().clone().requires_grad_();
        IList<Tensor> gradients = autograd.grad([AsftFunctional.asft_loss(Computed(again), labels, reference, inPlace: inPlace)], [again]);
        Assert.That(Values(gradients[0]), Is.EqualTo(Values(Gradient(logits))));
    }

    [Test]
    public void ReferenceThatRequiresGradIsAConstant([Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction).sum().backward();
        Tensor again = logits.detach().clone().requires_grad_();
        reference.requires_grad = true;
        AsftFunctional.asft_loss(again, labels, reference * 1f, reduction: reduction).sum().backward();
        Assert.Multiple(() =>
        {
            Assert.That(reference.grad is null);
            Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(logits))));
        });
    }

    [Test]
    public void NoGradientIsComputedWhereNoneIsWanted([Values] bool requiresGrad, [Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor wanted = AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction);
        double[] before = Values(logits);
        logits.requires_grad = requiresGrad;
        using (requiresGrad ? no_grad() : enable_grad())
        {
            Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction, inPlace: true);
            Assert.That(loss.requires_grad, Is.False);
            Assert.That(Values(loss), Is.EqualTo(Values(wanted)));
            Assert.That(Values(logits), Is.EqualTo(before), "in place, there was no gradient to write");
        }
    }

    [Test]
    public void InferenceModeComputesNoGradient()
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        using (inference_mode())
        {
            Assert.That(AsftFunctional.asft_loss(logits, labels, reference).requires_grad, Is.False);
        }
    }

    /// <summary>Torch saves no tensors that were made in inference mode, which is where reference logits may well come from.</summary>
    [Test]
    public void ReferenceMadeInInferenceMode([Values] Reduction reduction, [Values] bool inPlace)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor upstream = reduction == Reduction.None ? rand(2, 3) : rand([]);
        AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction).backward([upstream], retain_graph: true);
        Tensor again = logits.detach().clone().requires_grad_();
        Tensor inferred;
        using (inference_mode())
        {
            inferred = reference * 1f;
        }

        AsftFunctional.asft_loss(Computed(again), labels, inferred, reduction: reduction, inPlace: inPlace).backward([upstream], retain_graph: true);
        Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(logits))));
    }

    [Test]
    public void SecondBackwardOverAFreedGraphIsAnError([Values] bool inPlace, [Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor loss = AsftFunctional.asft_loss(Computed(logits), labels, reference, reduction: reduction, inPlace: inPlace);
        Tensor upstream = ones_like(loss);
        loss.backward([upstream]);
        double[] first = Values(Gradient(logits));
        string said = ErrorOutput(() => Assert.That(() => loss.backward([upstream]), Throws.InstanceOf<ExternalException>()));
        Assert.That(said, Does.Contain("second time").And.Contain("retain_graph: true"));
        Assert.That(AsftRuntime.LastBackwardError, Is.InstanceOf<InvalidOperationException>().With.Message.Contains("second time"));
        Assert.That(Values(Gradient(logits)), Is.EqualTo(first), "nothing was added to the gradient");
    }

    [Test]
    public void RetainedGraphGivesTheGradientAgain(
        [Values] Reduction reduction, [Values(ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16)] ScalarType type)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(type);
        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction);
        Tensor upstream = full_like(loss, 0.3);
        loss.backward([upstream], retain_graph: true);
        double[] first = Values(Gradient(logits));
        logits.grad!.zero_();
        loss.backward([upstream], retain_graph: true);
        AssertClose(Values(Gradient(logits)), first, type == ScalarType.Float32 ? 1e-9 : 0, type == ScalarType.Float32 ? 1e-6 : 0, "second");

        // Whatever became of the gradients handed out, another one is fresh.
        logits.grad!.fill_(7);
        logits.grad!.zero_();
        loss.backward([upstream]);
        AssertClose(Values(Gradient(logits)), first, type == ScalarType.Float32 ? 1e-9 : 0, type == ScalarType.Float32 ? 1e-6 : 0, "third");
    }

    [Test]
    public void SecondBackwardInPlaceIsAnError([Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor loss = AsftFunctional.asft_loss(Computed(logits), labels, reference, reduction: reduction, inPlace: true);
        Tensor upstream = ones_like(loss);
        loss.backward([upstream], retain_graph: true);
        double[] first = Values(Gradient(logits));
        string said = ErrorOutput(() =>
            Assert.That(() => loss.backward([upstream], retain_graph: true), Throws.InstanceOf<ExternalException>().With.Message.Contains("invalid gradient")));
        Assert.That(said, Does.Contain("inPlace: false"));
        Assert.That(Values(Gradient(logits)), Is.EqualTo(first), "nothing was added to the gradient");
    }

    /// <summary>The derivative of the gradient, against central differences of the gradient.</summary>
    [Test]
    [Pairwise]
    public void DoubleDifferentiation([ValueSource(nameof(Names))] string name, [Values] Reduction reduction)
    {
        LossObjective objective = Objectives.All[name] with { Weighting = TokenWeighting.None };
        Tensor logits = randn(3, 5, dtype: ScalarType.Float64).requires_grad_();
        Tensor reference = randn(3, 5, dtype: ScalarType.Float64);
        Tensor labels = tensor(new long[] { 4, objective.IgnoreIndex, 1 });
        Tensor direction = randn(3, 5, dtype: ScalarType.Float64);
        Tensor Upstream(Tensor loss) => (loss.detach() * 0) + 0.7;

        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, objective, reduction);
        Tensor gradient = autograd.grad([loss], [logits], [Upstream(loss)], retain_graph: true, create_graph: true)[0];
        Tensor plain = GradientAt(logits.detach());
        AssertClose(gradient, plain, 1e-14, 1e-12, "the composed gradient");

        Tensor second = autograd.grad([(gradient * direction).sum()], [logits])[0];
        const double Step = 1e-5;
        Tensor difference = (GradientAt(logits.detach() + (Step * direction)) - GradientAt(logits.detach() - (Step * direction))) / (2 * Step);
        AssertClose(second, difference, 2e-9, 1e-7, "derivative of the gradient");

        Tensor GradientAt(Tensor at)
        {
            Tensor leaf = at.clone().requires_grad_();
            Tensor value = AsftFunctional.asft_loss(leaf, labels, reference, objective, reduction);
            return autograd.grad([value], [leaf], [Upstream(value)])[0];
        }
    }

    /// <summary>The weight is a constant for the second derivative too: the composed formula, detached in the same place, says the same.</summary>
    [Test]
    public void DoubleDifferentiationAgainstTheComposedFormula([ValueSource(nameof(Names))] string name, [Values(ScalarType.Float64, ScalarType.Float32)] ScalarType type)
    {
        LossObjective objective = Objectives.All[name];
        Tensor logits = randn(2, 2, 6, dtype: ScalarType.Float64).to(type).clone();
        Tensor reference = randn(2, 2, 6, dtype: ScalarType.Float64);
        Tensor labels = tensor(new long[] { 4, 5, objective.IgnoreIndex, 1 }).reshape(2, 2);
        Tensor direction = randn(2, 2, 6, dtype: ScalarType.Float64);
        Tensor exact = logits.to(ScalarType.Float64).clone().requires_grad_();
        logits.requires_grad = true;

        Tensor expected = ComposedLoss.Tokens(exact, labels, reference, objective).sum();
        Tensor expectedGradient = autograd.grad([expected], [exact], retain_graph: true, create_graph: true)[0];
        Tensor expectedSecond = autograd.grad([(expectedGradient * direction).sum()], [exact])[0];

        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, objective, Reduction.Sum);
        Tensor gradient = autograd.grad([loss], [logits], retain_graph: true, create_graph: true)[0];
        AssertGradient(gradient, expectedGradient, type, 1, "gradient");
        Tensor second = autograd.grad([(gradient * direction).sum()], [logits])[0];
        AssertClose(second, expectedSecond, type == ScalarType.Float64 ? 1e-12 : 3e-6, type == ScalarType.Float64 ? 1e-11 : 1e-5, "second");
    }

    [Test]
    public void DoubleDifferentiationIgnoresWhatIsIgnored()
    {
        Tensor logits = tensor(new double[,] { { double.NaN, 1, double.PositiveInfinity }, { 1, 2, double.NegativeInfinity } }).requires_grad_();
        Tensor reference = tensor(new double[,] { { double.NaN, 1, 2 }, { 2, 2, double.NegativeInfinity } });
        LossObjective objective = LossObjective.Asft() with { KlDirection = KlDirection.Reverse, LabelSmoothing = 0.1 };
        Tensor loss = AsftFunctional.asft_loss(logits, tensor(new long[] { -100, 1 }), reference, objective);
        Tensor gradient = autograd.grad([loss], [logits], retain_graph: true, create_graph: true)[0];
        Tensor second = autograd.grad([gradient.square().sum()], [logits])[0];
        Assert.Multiple(() =>
        {
            Assert.That(Values(gradient), Has.All.Matches<double>(double.IsFinite));
            Assert.That(Values(second), Has.All.Matches<double>(double.IsFinite));
            Assert.That(Values(second[0]), Is.All.Zero);
            Assert.That(Values(second[1, 0])[0], Is.Not.Zero);
        });
    }

    [Test]
    public void DoubleDifferentiationInPlaceIsAnError([Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor loss = AsftFunctional.asft_loss(Computed(logits), labels, reference, reduction: reduction, inPlace: true);
        string said = ErrorOutput(() => Assert.That(
            () => loss.backward([ones_like(loss)], create_graph: true),
            Throws.InstanceOf<ExternalException>().With.Message.Contains("invalid gradient")));
        Assert.That(said, Does.Contain("create_graph").And.Contain("inPlace: false"));
    }

    /// <summary>tanh saves its result for its own backward: overwriting that must not go unnoticed.</summary>
    [Test]
    public void OverwritingLogitsThatAnotherBackwardNeedsIsAnError([Values] Reduction reduction, [Values] bool asView)
    {
        (Tensor leaf, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor logits = leaf.tanh();
        Tensor loss = AsftFunctional.asft_loss(
            asView ? logits.narrow(1, 0, 2) : logits,
            asView ? labels.narrow(1, 0, 2) : labels,
            asView ? reference.narrow(1, 0, 2) : reference,
            reduction: reduction,
            inPlace: true);
        Assert.That(
            () => loss.backward([ones_like(loss)]),
            Throws.InstanceOf<ExternalException>().With.Message.Contains("modified by an inplace operation"));
    }

    [Test]
    public void LogitsChangedBeforeADeferredBackwardAreAnError([Values(ScalarType.Float32, ScalarType.Float16)] ScalarType type)
    {
        (Tensor leaf, Tensor labels, Tensor reference) = Problem(type);
        Tensor logits = leaf * 1.0;
        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, reduction: type == ScalarType.Float16 ? Reduction.Mean : Reduction.None);
        logits.mul_(2);
        string said = ErrorOutput(() => Assert.That(() => loss.sum().backward(), Throws.InstanceOf<ExternalException>()));
        Assert.That(said, Does.Contain("modified by an inplace operation"));
    }

    [Test]
    public void LogitsChangedAfterTheGradientWasWrittenOverThemAreAnError()
    {
        (Tensor leaf, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor logits = leaf * 1.0;
        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference, inPlace: true);
        logits.mul_(2);
        string said = ErrorOutput(() => Assert.That(() => loss.backward(), Throws.InstanceOf<ExternalException>()));
        Assert.That(said, Does.Contain("modified by an inplace operation"));
    }

    [Test]
    public void LogitsChangedAfterTheGradientWasComputedElsewhereDoNotMatter()
    {
        (Tensor leaf, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        AsftFunctional.asft_loss(leaf, labels, reference).backward();
        Tensor again = leaf.detach().clone().requires_grad_();
        Tensor logits = again * 1.0;
        Tensor loss = AsftFunctional.asft_loss(logits, labels, reference);
        logits.zero_();
        loss.backward();
        Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(leaf))));
    }

    [Test]
    public void LabelsMayChangeAfterTheForwardPass([Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction).sum().backward();
        Tensor again = logits.detach().clone().requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(again, labels, reference, reduction: reduction);
        labels.fill_(1);
        loss.sum().backward();
        Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(logits))));
    }

    /// <summary>An operation that passes no gradient on, such as a custom function that returns null, means no gradient here.</summary>
    [Test]
    public void NoUpstreamGradientIsNoGradient([Values] bool inPlace, [Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        Tensor other = ones(1).requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(Computed(logits), labels, reference, reduction: reduction, inPlace: inPlace).sum();
        (Wall.apply(loss) + other).sum().backward();
        Assert.That(logits.grad is null);
        Assert.That(Values(Gradient(other)), Is.All.EqualTo(1));
    }

    [Test]
    public void SeveralThreadsAtOnce([Values] bool inPlace)
    {
        double[][] gradients = new double[8][];
        Exception? failure = null;
        Thread[] threads = [.. Enumerable.Range(0, gradients.Length).Select(i => new Thread(() =>
        {
            try
            {
                using var scope = NewDisposeScope();
                for (int step = 0; step < 8; step++)
                {
                    Tensor logits = (arange(1200, ScalarType.Float32).reshape(3, 400) * 0.37f).sin().requires_grad_();
                    Tensor reference = (arange(1200, ScalarType.Float32).reshape(3, 400) * 0.71f).cos();
                    AsftFunctional.asft_loss(Computed(logits), tensor(new long[] { 1, 2, 3 }), reference, inPlace: inPlace).backward();
                    gradients[i] = Values(Gradient(logits));
                }
            }
            catch (Exception error)
            {
                failure = error;
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        Assert.That(failure, Is.Null);
        Array.ForEach(gradients, gradient => AssertSameBits(gradient, gradients[0]));
    }

    [Test]
    public void BackwardInAnotherThreadThanForward([Values] bool inPlace, [Values] Reduction reduction)
    {
        (Tensor logits, Tensor labels, Tensor reference) = Problem(ScalarType.Float32);
        AsftFunctional.asft_loss(logits, labels, reference, reduction: reduction).sum().backward();
        Tensor again = logits.detach().clone().requires_grad_();
        Tensor loss = AsftFunctional.asft_loss(Computed(again), labels, reference, reduction: reduction, inPlace: inPlace).sum();
        var thread = new Thread(() => loss.backward());
        thread.Start();
        thread.Join();
        Assert.That(Values(Gradient(again)), Is.EqualTo(Values(Gradient(logits))));
    }

    private static (Tensor Logits, Tensor Labels, Tensor Reference) Problem(ScalarType type) => (
        randn(2, 3, 9, dtype: ScalarType.Float64).to(type).clone().requires_grad_(),
        tensor(new long[] { 0, 8, -100, 7, 7, 1 }).reshape(2, 3),
        randn(2, 3, 9, dtype: ScalarType.Float64).to(type));

    /// <summary>The identity, with no gradient.</summary>
    private sealed class Wall : autograd.SingleTensorFunction<Wall>
    {
        public override string Name => nameof(Wall);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars) => ((Tensor)vars[0]) * 1f;

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output) => [null!];
    }
}
