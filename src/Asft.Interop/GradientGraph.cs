using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// What the backward pass of one loss needs to know, as far as every loss needs it. It holds tensors only until the native graph
/// has saved them: native nodes let go of theirs when they die, while an object like this one waits for the garbage collector.
/// </summary>
internal abstract class GradientGraph
{
    private int _taken;

    /// <summary>The computed loss, which the loss's own node puts into the graph.</summary>
    public required Tensor Loss { get; init; }

    /// <summary>
    /// What <see cref="GradientHolder"/> saves: gradients computed along with the loss, until they are handed over, and what may be
    /// needed to multiply them.
    /// </summary>
    public List<Tensor> Gradients { get; init; } = [];

    /// <summary>What the loss's own node saves.</summary>
    public List<Tensor> Saved { get; init; } = [];

    /// <summary>The context that has saved the gradients.</summary>
    public AutogradContext? HolderContext { get; set; }

    /// <summary>
    /// Puts the computed loss into the graph. Autograd must be on. The result, like the temporary tensors, belongs to the current
    /// dispose scope.
    /// </summary>
    /// <param name="inputs">The inputs that need a gradient, as the caller gave them.</param>
    /// <returns>The loss, with its graph.</returns>
    public Tensor Attach(params IEnumerable<Tensor> inputs)
    {
        // The order matters: the engine runs the nodes that are ready in the reverse order of their making, so the holder's
        // backward comes right after the loss's.
        object[] arguments = [.. inputs, this];
        Tensor one = GradientHolder.apply(arguments);
        Tensor loss = Apply(arguments);

        // TorchSharp's custom nodes know nothing of a freed graph. A native multiplication saves its factors and frees them, so that
        // a second backward fails with torch's own message; and it waits for nothing else: its gradients go to both nodes.
        Tensor result = loss.mul(one);

        // The lists were copied into the native graph; tensors of theirs must not outlive the dispose scope.
        Gradients.Clear();
        Saved.Clear();
        return result;
    }

    /// <summary>
    /// Takes what <see cref="GradientHolder"/> has saved: true for one backward pass, whichever thread comes first, which then owns the
    /// gradients and may overwrite them.
    /// </summary>
    public bool TryTake() => Interlocked.Exchange(ref _taken, 1) == 0;

    /// <summary>Makes the loss's own node, of the inputs and this object.</summary>
    protected abstract Tensor Apply(object[] arguments);
}
