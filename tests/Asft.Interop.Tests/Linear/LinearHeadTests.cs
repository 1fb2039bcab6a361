using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using LinearModule = TorchSharp.Modules.Linear;

namespace Asft.Interop.Tests.Linear;

/// <summary>A head given as a module is its weight and its bias.</summary>
public class LinearHeadTests : LinearTest
{
    private static readonly LossObjective s_objective = LossObjective.Asft(0.3);

    /// <summary>The loss is that of the logits which the modules make, and hidden states, weight and bias have its gradients.</summary>
    [Test]
    public void IsTheLossOfItsLogits([Values] bool bias, [Values(null, false, true)] bool? referenceBias, [Values] Reduction reduction)
    {
        (LinearModule head, LinearModule? referenceHead, Tensor hidden, Tensor referenceHidden, Tensor labels) = Inputs(bias, referenceBias);
        Tensor upstream = reduction == Reduction.None ? randn(2, 6) : tensor(1f);
        Tensor loss = AsftFunctional.linear_asft_loss(
            hidden, head, labels, Reference(referenceHidden, referenceHead), s_objective, reduction, shiftLabels: true);
        loss.backward([upstream]);
        Tensor[] actual = TakeGradients(head, hidden);

        Tensor referenceLogits = (referenceHead ?? head).forward(referenceHidden).detach();
        Tensor expected = AsftFunctional.asft_loss(head.forward(hidden), labels, referenceLogits, s_objective, reduction, shiftLabels: true);
        expected.backward([upstream]);
        Assert.That(loss.allclose(expected, rtol: 1e-5, atol: 1e-6), "loss");
        AssertGradients(actual, [.. TakeGradients(head, hidden).Select(gradient => gradient.to(ScalarType.Float64))], ScalarType.Float32, "head");
        Assert.That(referenceHead?.parameters().Any(parameter => parameter.grad is not null), Is.Not.True, "the reference is a constant");
    }

    /// <summary>Function, metrics and module are bit for bit those of weight and bias given one by one.</summary>
    [Test]
    public void IsWeightAndBias([Values] bool bias, [Values(null, true)] bool? referenceBias)
    {
        (LinearModule head, LinearModule? referenceHead, Tensor hidden, Tensor referenceHidden, Tensor labels) = Inputs(bias, referenceBias);
        var options = new LinearLossOptions { WorkspaceBytes = 5000 };
        Tensor count = tensor(5);
        using AsftLossResult parts = AsftFunctional.linear_asft_loss_with_metrics(
            hidden, head.weight!, labels, head.bias, TokenReference.Hidden(referenceHidden, referenceHead?.weight, referenceHead?.bias),
            s_objective, Reduction.Mean, count, shiftLabels: true, options: options);
        using AsftLossResult whole = AsftFunctional.linear_asft_loss_with_metrics(
            hidden, head, labels, Reference(referenceHidden, referenceHead), s_objective, Reduction.Mean, count, shiftLabels: true, options: options);
        Assert.Multiple(() =>
        {
            Assert.That(whole.Loss.item<float>(), Is.EqualTo(parts.Loss.item<float>()));
            Assert.That(Values(whole.TokenLoss), Is.EqualTo(Values(parts.TokenLoss)));
            Assert.That(Values(whole.TokenKl), Is.EqualTo(Values(parts.TokenKl)));
        });

        using var module = new LinearAsftLoss(s_objective, Reduction.Sum, shiftLabels: true, options: options);
        Assert.That(
            module.call(hidden, head, labels, Reference(referenceHidden, referenceHead)).item<float>(),
            Is.EqualTo(module.call(
                hidden, head.weight!, labels, head.bias, TokenReference.Hidden(referenceHidden, referenceHead?.weight, referenceHead?.bias)).item<float>()));
    }

    [Test]
    public void HeadsAreChecked()
    {
        (LinearModule head, _, Tensor hidden, Tensor referenceHidden, Tensor labels) = Inputs(bias: true, referenceBias: null);
        Assert.Multiple(() =>
        {
            Refused("head", () => AsftFunctional.linear_asft_loss(hidden, (LinearModule)null!, labels, objective: LossObjective.Sft));
            Refused("head", () => AsftFunctional.linear_asft_loss_with_metrics(hidden, (LinearModule)null!, labels, objective: LossObjective.Sft).Loss);
            Refused("head", () => AsftFunctional.linear_asft_loss(hidden, head, labels, TokenReference.Hidden(hidden, (LinearModule)null!)));
            Refused("weight", () => AsftFunctional.linear_asft_loss(hidden, nn.Linear(5, 9), labels, referenceHidden));
            Refused("reference", () => AsftFunctional.linear_asft_loss(
                hidden, head, labels, TokenReference.Hidden(referenceHidden, nn.Linear(LinearCase.Width, 9))));
        });

        static void Refused(string name, Func<Tensor> loss) =>
            Assert.That(loss, Throws.InstanceOf<ArgumentException>().With.Property(nameof(ArgumentException.ParamName)).EqualTo(name));
    }

    private static (LinearModule Head, LinearModule? ReferenceHead, Tensor Hidden, Tensor ReferenceHidden, Tensor Labels) Inputs(bool bias, bool? referenceBias)
    {
        LinearModule head = nn.Linear(LinearCase.Width, LinearCase.Vocabulary, hasBias: bias);
        LinearModule? referenceHead = referenceBias is bool has ? nn.Linear(LinearCase.Width, LinearCase.Vocabulary, hasBias: has) : null;
        Tensor hidden = randn(2, 6, LinearCase.Width).requires_grad_();
        return (head, referenceHead, hidden, randn(2, 6, LinearCase.Width), randint(0, LinearCase.Vocabulary, [2, 6], ScalarType.Int64));
    }

    private static TokenReference Reference(Tensor hidden, LinearModule? head) => head is null ? hidden! : TokenReference.Hidden(hidden, head);

    /// <summary>The gradients of hidden states, weight and, if there is one, bias; they are cleared.</summary>
    private static Tensor[] TakeGradients(LinearModule head, Tensor hidden)
    {
        Tensor[] leaves = [hidden, .. head.parameters()];
        Tensor[] gradients = [.. leaves.Select(leaf => Gradient(leaf).clone())];
        foreach (Tensor leaf in leaves)
        {
            leaf.grad = null;
        }

        return gradients;
    }
}
