using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// The second of a loss's two nodes, whichever loss it is. Its value is the constant 1, which multiplies the loss, and its gradient is nothing at all; it
/// is there for the memory. It saves the gradients computed along with the loss, apart from what the loss's own node saves, as the
/// two are not always wanted together. And its backward disposes what that node's backward handed to the engine.
/// </summary>
/// <remarks>
/// TorchSharp copies the native tensor that a backward returns only after that backward is over, so the .NET wrapper has to outlive
/// it, and nobody disposes it then: without this node, the memory of every gradient would wait for the garbage collector. Also, while
/// the wrapper lives, the engine sees a gradient that is used elsewhere and gives a leaf a copy of it. This node is made before the
/// loss's, so it runs directly after it, in the same thread; and as both lead to the same inputs, before anything is done with the gradient.
/// </remarks>
internal sealed class GradientHolder : SingleTensorFunction<GradientHolder>
{
    private const string Graph = "graph";
    private const string Arguments = "arguments";

    /// <inheritdoc/>
    public override string Name => nameof(GradientHolder);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (GradientGraph)vars[^1];
        graph.HolderContext = ctx;
        ctx.set_materialize_grads(false);
        ctx.save_data(Graph, graph);
        ctx.save_data(Arguments, vars.Length);
        ctx.save_for_backward(graph.Gradients);
        return TensorMemory.Scalar(1, graph.Loss.dtype, graph.Loss.device);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        grad_output.Dispose();
        var graph = (GradientGraph)ctx.get_data(Graph);
        graph.HandedOver.ForEach(gradient => gradient.Dispose());
        graph.HandedOver.Clear();
        return [.. Enumerable.Repeat<Tensor>(null!, (int)ctx.get_data(Arguments))];
    }
}
