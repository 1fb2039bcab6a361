using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// The second of a linear loss's two nodes: it saves the gradients, and disposes what the first handed to the engine. Why there
/// are two is told at <see cref="GradientHolder"/>.
/// </summary>
internal sealed class LinearGradientHolder : SingleTensorFunction<LinearGradientHolder>
{
    private const string Graph = "graph";

    /// <inheritdoc/>
    public override string Name => nameof(LinearGradientHolder);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (LinearGraph)vars[^1];
        graph.HolderContext = ctx;
        ctx.set_materialize_grads(false);
        ctx.save_data(Graph, graph);
        ctx.save_for_backward(graph.Gradients);
        return TensorMemory.Scalar(1, graph.Loss.dtype);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        grad_output.Dispose();
        var graph = (LinearGraph)ctx.get_data(Graph);
        graph.HandedOver.ForEach(gradient => gradient.Dispose());
        graph.HandedOver.Clear();
        return [.. Enumerable.Repeat<Tensor>(null!, graph.Needs.Count + 1)];
    }
}
