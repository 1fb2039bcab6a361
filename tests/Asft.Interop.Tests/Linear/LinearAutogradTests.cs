using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>What the linear loss is to autograd.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class LinearAutogradTests(string path) : LinearTest(path)
{
    /// <summary>Every choice of inputs that require grad: those that do get the gradient, the others nothing.</summary>
    [Test]
    public void OnlyWhatIsNeeded([Values] bool hidden, [Values] bool weight, [Values] bool bias, [Values(Reduction.Mean, Reduction.None)] Reduction reduction)
    {
        var inputs = new LinearCase([6]);
        inputs.Loss(reduction: reduction).sum().backward();
        Tensor[] all = inputs.TakeGradients();
        inputs.Hidden = inputs.Hidden.detach().requires_grad_(hidden);
        inputs.Weight = inputs.Weight.detach().requires_grad_(weight);
        inputs.Bias = inputs.Bias!.detach().requires_grad_(bias);
        Tensor loss = inputs.Loss(reduction: reduction).sum();
        Assert.That(loss.requires_grad, Is.EqualTo(hidden || weight || bias));
        if (!loss.requires_grad)
        {
            return;
        }

        loss.backward();
        (Tensor Leaf, bool Needs)[] leaves = [(inputs.Hidden, hidden), (inputs.Weight, weight), (inputs.Bias, bias)];
        for (int i = 0; i < leaves.Length; i++)
        {
            Assert.That(leaves[i].Leaf.grad is not null, Is.EqualTo(leaves[i].Needs));
            if (leaves[i].Needs)
            {
                Assert.That(Values(leaves[i].Leaf.grad!), Is.EqualTo(Values(all[i])));
            }
        }
    }

    [Test]
    public void NoGradComputesNoGraph()
    {
        var inputs = new LinearCase([6]);
        Tensor expected = inputs.Loss();
        using (no_grad())
        {
            Tensor loss = inputs.Loss();
            Assert.That(loss.requires_grad, Is.False);
            Assert.That(loss.item<float>(), Is.EqualTo(expected.item<float>()));
        }
    }

    /// <summary>Inputs made in inference mode can be used outside of it: a frozen trunk's output, for example.</summary>
    [Test]
    public void InferenceTensorsAreConstants()
    {
        var inputs = new LinearCase([6]);
        using (inference_mode())
        {
            inputs.Hidden = inputs.Hidden.detach() * 1;
            inputs.ReferenceHidden = inputs.ReferenceHidden! * 1;
        }

        inputs.Loss(reduction: Reduction.None).sum().backward();
        Assert.That(inputs.Weight.grad is not null);
    }

    [Test]
    public void ASecondBackwardAddsTheSame([Values] Reduction reduction, [Values(1f, 0.3f)] float factor)
    {
        var inputs = new LinearCase([6]);
        Tensor loss = inputs.Loss(reduction: reduction);
        Tensor upstream = full_like(loss, factor);
        loss.backward([upstream], retain_graph: true);
        Tensor[] once = [.. inputs.TakeGradients().Select(gradient => gradient.to(ScalarType.Float64))];
        loss.backward([upstream], retain_graph: true);
        AssertGradients(inputs.TakeGradients(), once, ScalarType.Float32, "second");
        loss.backward([upstream]);
        AssertGradients(inputs.TakeGradients(), once, ScalarType.Float32, "third");
        string said = ErrorOutput(() => Assert.Throws<System.Runtime.InteropServices.ExternalException>(() => loss.backward([upstream])));
        Assert.That(said, Does.Contain("second time"));
    }

    /// <summary>The first backward may have handed out memory that the second must not write to.</summary>
    [Test]
    public void ASecondBackwardLeavesTheFirstGradientsAlone()
    {
        var inputs = new LinearCase([6]);
        Tensor loss = inputs.Loss();
        loss.backward(retain_graph: true);
        double[] once = Values(Gradient(inputs.Weight));
        loss.backward();
        AssertClose(Values(Gradient(inputs.Weight)), [.. once.Select(value => 2 * value)], 1e-7, 1e-5, "sum of both");
    }

    /// <summary>One tensor is embedding and head.</summary>
    [Test]
    public void SharedWithTheEmbedding([Values(Reduction.Mean, Reduction.None)] Reduction reduction)
    {
        Tensor weight = randn(LinearCase.Vocabulary, LinearCase.Width).mul_(0.5).requires_grad_();
        Tensor tokens = randint(0, LinearCase.Vocabulary, [3, 5], ScalarType.Int64);
        Tensor upstream = reduction == Reduction.None ? randn(3, 5) : tensor(1f);
        AsftFunctional.linear_asft_loss(
            Embed(tokens, weight).tanh(), weight, tokens, objective: LossObjective.Dft, reduction: reduction, shiftLabels: true)
            .backward([upstream]);
        Tensor actual = Gradient(weight).clone();
        weight.grad = null;
        Tensor logits = Embed(tokens, weight).tanh().matmul(weight.t());
        AsftFunctional.asft_loss(logits, tokens, objective: LossObjective.Dft, reduction: reduction, shiftLabels: true).backward([upstream]);
        AssertNear(actual, Gradient(weight).to(ScalarType.Float64), 5e-6, "d weight");
    }

    /// <summary>The head's weight as a result of other operations, and the gradients of several losses summed up in it.</summary>
    [Test]
    public void GradientsFlowOnAndAccumulate()
    {
        var inputs = new LinearCase([6], bias: false);
        Tensor factor = ones(1, requires_grad: true);
        Tensor loss = AsftFunctional.linear_asft_loss(
            inputs.Hidden * factor, inputs.Weight * factor, inputs.Labels, objective: LossObjective.Sft);
        (loss + (inputs.Hidden * 2).sum()).backward();
        Tensor expectedFactor = ones(1, ScalarType.Float64, requires_grad: true);
        Tensor hidden = inputs.Hidden.detach().to(ScalarType.Float64).requires_grad_();
        Tensor weight = inputs.Weight.detach().to(ScalarType.Float64).requires_grad_();
        Tensor expected = functional.cross_entropy((hidden * expectedFactor).matmul((weight * expectedFactor).t()), inputs.Labels);
        (expected + (hidden * 2).sum()).backward();
        AssertNear(Gradient(factor), Gradient(expectedFactor), 5e-6, "d factor");
        AssertGradients(inputs.TakeGradients(), [Gradient(hidden), Gradient(weight)], ScalarType.Float32, "gradients");
    }

    /// <summary>
    /// Weights changed between forward and backward matter only to a backward that computes with them, and that one says so.
    /// </summary>
    [Test]
    public void ChangedInputs()
    {
        var inputs = new LinearCase([6]);
        Tensor eager = inputs.Loss();
        Tensor deferred = inputs.Loss(reduction: Reduction.None).sum();
        (_, Tensor[] expected) = inputs.Exact(LossObjective.Asft(), Reduction.Mean, tensor(1f));
        using (no_grad())
        {
            inputs.Weight.add_(1);
        }

        eager.backward();
        AssertGradients(inputs.TakeGradients(), expected, ScalarType.Float32, "eager");
        string errors = ErrorOutput(() => Assert.Throws<System.Runtime.InteropServices.ExternalException>(() => deferred.backward()));
        Assert.That(errors, Does.Contain("modified by an inplace operation"));
    }

    [Test]
    public void CreateGraphIsRefused()
    {
        var inputs = new LinearCase([6]);
        Tensor loss = inputs.Loss();
        string errors = ErrorOutput(
            () => Assert.Throws<System.Runtime.InteropServices.ExternalException>(() => loss.backward(create_graph: true)));
        Assert.That(errors, Does.Contain("create_graph").And.Contain("asft_loss"));
    }

    [Test]
    public void TheModuleIsTheFunction([Values] bool ownHead)
    {
        LinearCase inputs = new LinearCase([2, 6], referenceType: ownHead ? ScalarType.Float32 : null);
        var options = new LinearLossOptions { WorkspaceBytes = 5000 };
        using var module = new LinearAsftLoss(LossObjective.SftKl(0.2), Reduction.Sum, shiftLabels: true, options: options);
        Tensor expected = inputs.Loss(LossObjective.SftKl(0.2), Reduction.Sum, shiftLabels: true, options: options);
        Tensor actual = module.call(inputs.Hidden, inputs.Weight, inputs.Labels, inputs.Bias, inputs.Reference);
        Assert.That(actual.item<float>(), Is.EqualTo(expected.item<float>()));
        inputs.ReferenceBias = null;
        Assert.That(
            module.call(inputs.Hidden, inputs.Weight, inputs.Labels, inputs.Bias, inputs.Reference).item<float>(),
            Is.EqualTo(inputs.Loss(LossObjective.SftKl(0.2), Reduction.Sum, shiftLabels: true, options: options).item<float>()));
        Assert.That(module.parameters(), Is.Empty);
        Assert.That(
            (module.Objective, module.Reduction, module.ShiftLabels, module.Options),
            Is.EqualTo((LossObjective.SftKl(0.2), Reduction.Sum, true, options)));
    }

    private static Tensor Embed(Tensor tokens, Tensor weight) => weight.index_select(0, tokens.reshape(-1)).reshape([.. tokens.shape, weight.size(1)]);
}
