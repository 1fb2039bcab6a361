using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// What the backward pass of one loss needs to know. It holds no tensors of its own: those are saved in the graph, whose native
/// nodes let go of them when they die, while an object like this one would wait for the garbage collector.
/// </summary>
internal sealed class LossGraph
{
    public required ITokenLossKernel Kernel { get; init; }

    public required LossObjective Objective { get; init; }

    /// <summary>Factor of every row: 1/tokens for a mean, otherwise 1.</summary>
    public required double Scale { get; init; }

    /// <summary>One upstream gradient per row, rather than one for all.</summary>
    public required bool PerToken { get; init; }

    /// <summary>The gradient was computed along with the loss, and the <see cref="GradientHolder"/> has saved it.</summary>
    public required bool IsEager { get; init; }

    /// <summary>The gradient takes the place of the logits.</summary>
    public required bool OverwritesLogits { get; init; }

    /// <summary>What <see cref="GradientHolder"/> saves: the gradient of an eager loss, until it is handed over.</summary>
    public List<Tensor> Gradient { get; init; } = [];

    /// <summary>What <see cref="TokenLossFunction"/> saves; see <see cref="SavedTensors"/>.</summary>
    public List<Tensor> Saved { get; init; } = [];

    /// <summary>The computed loss, which <see cref="TokenLossFunction"/> turns into a node of the graph.</summary>
    public required Tensor Loss { get; init; }

    /// <summary>The context that has saved the gradient.</summary>
    public AutogradContext? HolderContext { get; set; }

    /// <summary>The one gradient that there was went to an earlier backward pass.</summary>
    public bool IsSpent { get; set; }

    /// <summary>The gradient just handed to the engine; see <see cref="GradientHolder"/>.</summary>
    public Tensor? HandedOver { get; set; }

    /// <summary>
    /// Puts the computed loss into the graph. Autograd must be on. The result, like the temporary tensors, belongs to the current
    /// dispose scope.
    /// </summary>
    /// <param name="logits">The policy logits, as the caller gave them.</param>
    /// <returns>The loss, with its graph.</returns>
    public Tensor Attach(Tensor logits)
    {
        // The order matters: the engine runs the nodes that are ready in the reverse order of their making, so the holder's
        // backward comes right after the loss's.
        Tensor one = GradientHolder.apply(logits, this);
        Tensor loss = TokenLossFunction.apply(logits, this);

        // TorchSharp's custom nodes know nothing of a freed graph. A native multiplication saves its factors and frees them, so that
        // a second backward fails with torch's own message; and it waits for nothing else: its gradients go to both nodes.
        Tensor result = loss.mul(one);

        // The lists were copied into the native graph; tensors of theirs must not outlive the dispose scope.
        Gradient.Clear();
        Saved.Clear();
        return result;
    }
}
