using System.Diagnostics.CodeAnalysis;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>The linear loss as a node of the autograd graph, one input for each tensor that needs a gradient.</summary>
internal sealed class LinearLossFunction : SingleTensorFunction<LinearLossFunction>
{
    private const string Graph = "graph";

    /// <summary>
    /// A gradient that no input can have, as each has a dimension; it makes the engine raise an error. Lives as long as the
    /// process.
    /// </summary>
    private static readonly Lazy<Tensor> s_impossible = new(static () => TensorMemory.Scalar(double.NaN, ScalarType.Float32, CPU).DetachFromDisposeScope());

    /// <inheritdoc/>
    public override string Name => nameof(LinearLossFunction);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (LinearGraph)vars[^1];
        ctx.set_materialize_grads(false);
        ctx.save_data(Graph, graph);
        ctx.save_for_backward(graph.Saved);
        return graph.Loss;
    }

    /// <inheritdoc/>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "The caller is native code: what left here would end the process.")]
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        var graph = (LinearGraph)ctx.get_data(Graph);
        int inputs = graph.Needs.Count;
        try
        {
            using DisposeScope scope = NewDisposeScope();
            HandedOver.Dispose();
            return grad_output.IsInvalid
                ? [.. Enumerable.Repeat<Tensor>(null!, inputs + 1)]
                : [.. Gradients(graph, ctx, TensorMemory.Resolved(grad_output)).Select(gradient => HandedOver.Add(gradient.MoveToOuterDisposeScope())), null!];
        }
        catch (Exception error)
        {
            // The engine's own message, which the caller gets, cannot be made to say this.
            Console.Error.WriteLine($"linear_asft_loss: the backward pass failed, and \"invalid gradient at index 0\" stands for this: {error.Message}");
            return [.. Enumerable.Repeat(s_impossible.Value, inputs), null!];
        }
        finally
        {
            grad_output.Dispose();
        }
    }

    private static List<Tensor> Gradients(LinearGraph graph, AutogradContext ctx, Tensor upstream)
    {
        if (is_grad_enabled())
        {
            throw new NotSupportedException(
                "create_graph differentiates the gradient, which a linear loss computes without a graph; use asft_loss on logits for that.");
        }

        double factor = graph.PerToken ? 1 : TensorMemory.First(upstream);

        // An infinite factor must not meet the zeros of ignored rows.
        List<Tensor> gradients = !graph.TryTake() || graph.PerToken || !double.IsFinite(factor)
            ? Recompute(graph, graph.Inputs(ctx.get_saved_variables()), upstream, factor)
            : Scale(graph.HolderContext!.get_saved_variables(), upstream, factor);
        return [.. gradients.Zip(graph.Types, (gradient, type) => Round(gradient, type))];
    }

    private static List<Tensor> Scale(List<Tensor> gradients, Tensor upstream, double factor)
    {
        if (factor != 1)
        {
            gradients.ForEach(gradient => gradient.mul_(upstream));
        }

        return gradients;
    }

    private static List<Tensor> Recompute(LinearGraph graph, LinearInputs inputs, Tensor upstream, double factor)
    {
        Tensor? perToken = graph.PerToken ? upstream.reshape(-1).index_select(0, graph.Rows.Places(upstream.device)) : null;
        var gradients = new LinearGradients(inputs, graph.Needs, graph.Rows);
        LinearPass.Run(
            graph.Kernel, graph.Objective, inputs, graph.Rows, graph.Options, tokens: null, gradients, graph.Scale * factor, perToken);
        return gradients.ToList();
    }

    /// <summary>
    /// The gradient in its input's dtype; never the saved tensor itself, which is in use and would be copied, but at least
    /// another tensor over its memory.
    /// </summary>
    private static Tensor Round(Tensor gradient, ScalarType type) =>
        gradient.dtype == type ? gradient.detach() : gradient.to_type(type);
}
