using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// The second of a loss's two nodes. Its value is the constant 1, which multiplies the loss, and its gradient is nothing at all; it
/// is there for the memory. It saves the gradient of an eager loss, apart from what <see cref="TokenLossFunction"/> saves, as the
/// two are not always wanted together. And its backward disposes what TokenLossFunction's backward handed to the engine.
/// </summary>
/// <remarks>
/// TorchSharp copies the native tensor that a backward returns only after that backward is over, so the .NET wrapper has to outlive
/// it, and nobody disposes it then: without this node, the memory of every gradient would wait for the garbage collector. Also, while
/// the wrapper lives, the engine sees a gradient that is used elsewhere and gives a leaf a copy of it. This node is made before the
/// loss's, so it runs directly after it, in the same thread; and as both lead to the same logits, before anything is done with the gradient.
/// </remarks>
internal sealed class GradientHolder : SingleTensorFunction<GradientHolder>
{
    private const string Graph = "graph";

    /// <inheritdoc/>
    public override string Name => nameof(GradientHolder);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (LossGraph)vars[1];
        graph.HolderContext = ctx;
        ctx.set_materialize_grads(false);
        ctx.save_data(Graph, graph);
        ctx.save_for_backward(graph.Gradient);
        return TensorMemory.Scalar(1, graph.Loss.dtype);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        grad_output.Dispose();
        var graph = (LossGraph)ctx.get_data(Graph);
        graph.HandedOver?.Dispose();
        graph.HandedOver = null;
        return [null!, null!];
    }
}
