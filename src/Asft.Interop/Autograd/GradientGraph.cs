using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The backward pass of one loss, and what it needs to know. Its tensors are disposed when nothing leads to the loss any more.
/// </summary>
internal abstract class GradientGraph : IDisposable
{
    private List<Tensor>? _gradients;
    private Tensor? _loss;

    /// <summary>The function that computed the loss, for messages.</summary>
    public abstract string Function { get; }

    /// <summary>The computed loss.</summary>
    public required Tensor Loss { init => _loss = value; }

    /// <summary>
    /// Gradients computed along with the loss, until they are handed over, and what may be needed to multiply them. Nobody else has them.
    /// </summary>
    public List<Tensor> Gradients { get; init; } = [];

    /// <summary>Whether the gradients are so large that their memory should not wait, or must not be copied.</summary>
    public virtual bool IsLarge => true;

    /// <summary>What a later backward pass needs.</summary>
    public List<Tensor> Saved { get; init; } = [];

    /// <summary>The native node.</summary>
    public GradientNode? Node { get; set; }

    /// <summary>Puts the computed loss into the graph. Autograd must be on.</summary>
    /// <param name="inputs">The inputs that need a gradient, as the caller gave them.</param>
    /// <returns>The loss, with its graph.</returns>
    public Tensor Attach(params IEnumerable<Tensor> inputs)
    {
        Tensor loss = _loss!;
        GradientNode.Attach(this, loss, [.. inputs], Saved);
        Gradients.ForEach(static tensor => tensor.DetachFromDisposeScope());
        _gradients = Gradients;

        // The native node lives as long as the loss, and this object as long as the node: it must not keep what leads to the loss.
        _loss = null;
        Saved.Clear();
        return loss;
    }

    /// <summary>Computes the gradient of each input. What it throws reaches no caller as what it is.</summary>
    /// <param name="upstream">The upstream gradient, without torch's negative bit.</param>
    /// <returns>Tensors that nobody else uses.</returns>
    public abstract List<Tensor> ComputeGradients(Tensor upstream);

    /// <summary>Frees the gradients that nobody has taken.</summary>
    public virtual void Dispose() => Interlocked.Exchange(ref _gradients, null)?.ForEach(static tensor => tensor.Dispose());

    /// <summary>
    /// Takes the <see cref="Gradients"/>, to be overwritten if need be: null for all but one backward pass, whichever thread comes first. They belong
    /// to the current dispose scope then.
    /// </summary>
    protected List<Tensor>? TakeGradients()
    {
        List<Tensor>? gradients = Interlocked.Exchange(ref _gradients, null);
        for (int i = 0; i < gradients?.Count; i++)
        {
            using Tensor ours = gradients[i];
            gradients[i] = ours.alias();
        }

        return gradients;
    }

    /// <summary>The <see cref="Saved"/> tensors. They belong to the current dispose scope.</summary>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">One of them was changed since: torch's own error.</exception>
    protected List<Tensor> UnpackSaved() => Node!.Saved();
}
