using System.Diagnostics.CodeAnalysis;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// A loss as a node of the autograd graph, whichever loss it is, with an input for each tensor that needs a gradient. Its forward only puts
/// the computed value there: all work that can fail is over by then.
/// </summary>
internal sealed class LossFunction : SingleTensorFunction<LossFunction>
{
    private const string Graph = "graph";

    /// <summary>
    /// A gradient that no input can have, as each has at least one dimension: handed to the engine in place of a gradient, it makes
    /// the engine raise an error. Lives as long as the process.
    /// </summary>
    private static readonly Lazy<Tensor> s_impossible = new(static () => TensorMemory.Scalar(double.NaN, ScalarType.Float32, CPU).DetachFromDisposeScope());

    /// <inheritdoc/>
    public override string Name => nameof(LossFunction);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (GradientGraph)vars[^1];
        ctx.set_materialize_grads(false);
        ctx.save_data(Graph, graph);
        ctx.save_for_backward(graph.Saved);
        return graph.Loss;
    }

    /// <inheritdoc/>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "The caller is native code: what left here would end the process.")]
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        var graph = (GradientGraph)ctx.get_data(Graph);
        try
        {
            using DisposeScope scope = NewDisposeScope();
            GradientRelease.ReleaseAll();
            return grad_output.IsInvalid
                ? [.. Enumerable.Repeat<Tensor>(null!, graph.Inputs + 1)]
                : [.. graph.ComputeGradients(ctx, TensorMemory.Resolved(grad_output)).Select(gradient => GradientRelease.Later(gradient.MoveToOuterDisposeScope())), null!];
        }
        catch (Exception error)
        {
            // The engine's own message, which the caller gets, cannot be made to say this.
            Console.Error.WriteLine($"{graph.Function}: the backward pass failed, and \"invalid gradient at index 0\" stands for this: {error.Message}");
            return [.. Enumerable.Repeat(s_impossible.Value, graph.Inputs), null!];
        }
        finally
        {
            grad_output.Dispose();
        }
    }
}
