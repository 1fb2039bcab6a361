using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// The backward pass of one loss, and what it needs to know. It holds tensors only until the native graph has saved them: native
/// nodes let go of theirs when they die, while an object like this one waits for the garbage collector.
/// </summary>
internal abstract class GradientGraph
{
    private int _taken;

    /// <summary>The function that computed the loss, for messages.</summary>
    public abstract string Function { get; }

    /// <summary>The computed loss, which <see cref="LossFunction"/> puts into the graph.</summary>
    public required Tensor Loss { get; init; }

    /// <summary>
    /// What <see cref="GradientRelease"/> saves: gradients computed along with the loss, until they are handed over, and what may be
    /// needed to multiply them.
    /// </summary>
    public List<Tensor> Gradients { get; init; } = [];

    /// <summary>What <see cref="LossFunction"/> saves.</summary>
    public List<Tensor> Saved { get; init; } = [];

    /// <summary>How many inputs need a gradient.</summary>
    public int Inputs { get; private set; }

    /// <summary>The context that has saved the gradients.</summary>
    public AutogradContext? ReleaseContext { get; set; }

    /// <summary>
    /// Puts the computed loss into the graph. Autograd must be on. The result, like the temporary tensors, belongs to the current
    /// dispose scope.
    /// </summary>
    /// <param name="inputs">The inputs that need a gradient, as the caller gave them.</param>
    /// <returns>The loss, with its graph.</returns>
    public Tensor Attach(params IEnumerable<Tensor> inputs)
    {
        // The order matters: the engine runs the nodes that are ready in the reverse order of their making, so the release
        // comes right after the loss's backward.
        object[] arguments = [.. inputs, this];
        Inputs = arguments.Length - 1;
        Tensor one = GradientRelease.apply(arguments);
        Tensor loss = LossFunction.apply(arguments);

        // TorchSharp's custom nodes know nothing of a freed graph. A native multiplication saves its factors and frees them, so that
        // a second backward fails with torch's own message; and it waits for nothing else: its gradients go to both nodes.
        Tensor result = loss.mul(one);

        // The lists were copied into the native graph; tensors of theirs must not outlive the dispose scope.
        Gradients.Clear();
        Saved.Clear();
        return result;
    }

    /// <summary>Computes the gradient of each input. What it throws reaches no caller as what it is.</summary>
    /// <param name="context">The context that has saved <see cref="Saved"/>; asked for tensors, it fails if one of them was changed.</param>
    /// <param name="upstream">The upstream gradient, without torch's negative bit.</param>
    /// <returns>Tensors that are none of the saved ones: those are in use, and would be copied.</returns>
    public abstract List<Tensor> ComputeGradients(AutogradContext context, Tensor upstream);

    /// <summary>
    /// Takes what <see cref="GradientRelease"/> has saved: true for one backward pass, whichever thread comes first, which then owns the
    /// gradients and may overwrite them.
    /// </summary>
    protected bool TryTake() => Interlocked.Exchange(ref _taken, 1) == 0;
}
