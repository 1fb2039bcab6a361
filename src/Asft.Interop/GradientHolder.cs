using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// The second of a loss's two nodes, whichever loss it is. Its value is the constant 1, which multiplies the loss, and its gradient is nothing at all; it
/// is there for the memory. It saves the gradients computed along with the loss, apart from what the loss's own node saves, as the
/// two are not always wanted together. And its backward disposes what that node's backward handed to the engine.
/// </summary>
/// <remarks>
/// Without this node, the memory of every gradient would wait for the garbage collector; see <see cref="HandedOver"/>. It is made before the
/// loss's, so it runs directly after it, in the same thread; and as both lead to the same inputs, before anything is done with the gradient.
/// </remarks>
internal sealed class GradientHolder : SingleTensorFunction<GradientHolder>
{
    private const string Arguments = "arguments";

    /// <inheritdoc/>
    public override string Name => nameof(GradientHolder);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (GradientGraph)vars[^1];
        graph.HolderContext = ctx;
        ctx.set_materialize_grads(false);
        ctx.save_data(Arguments, vars.Length);
        ctx.save_for_backward(graph.Gradients);
        return TensorMemory.Scalar(1, graph.Loss.dtype, graph.Loss.device);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        grad_output.Dispose();
        HandedOver.Dispose();
        return [.. Enumerable.Repeat<Tensor>(null!, (int)ctx.get_data(Arguments))];
    }
}
