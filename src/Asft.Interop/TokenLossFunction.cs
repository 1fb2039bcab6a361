using System.Diagnostics.CodeAnalysis;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>The loss as a node of the autograd graph. Its forward only puts the computed value there: all work that can fail is over by then.</summary>
internal sealed unsafe class TokenLossFunction : SingleTensorFunction<TokenLossFunction>
{
    private const string Graph = "graph";

    /// <summary>
    /// A gradient that no logits can have, as they have at least one dimension: handed to the engine in place of a gradient, it makes
    /// the engine raise an error. Lives as long as the process.
    /// </summary>
    private static readonly Lazy<Tensor> s_impossible = new(static () => TensorMemory.Scalar(double.NaN, ScalarType.Float32).DetachFromDisposeScope());

    /// <inheritdoc/>
    public override string Name => nameof(TokenLossFunction);

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (LossGraph)vars[1];
        ctx.set_materialize_grads(false);
        ctx.save_data(Graph, graph);
        ctx.save_for_backward(graph.Saved);
        return graph.Loss;
    }

    /// <inheritdoc/>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "The caller is native code: what left here would end the process.")]
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        try
        {
            using DisposeScope scope = NewDisposeScope();
            var graph = (LossGraph)ctx.get_data(Graph);
            Tensor? gradient = grad_output.IsInvalid ? null : Gradient(graph, ctx, grad_output);
            if (gradient is not null)
            {
                graph.HandedOver.Add(gradient.MoveToOuterDisposeScope());
            }

            return [gradient!, null!];
        }
        catch (Exception error)
        {
            // The engine's own message, which the caller gets, cannot be made to say this.
            Console.Error.WriteLine($"asft_loss: the backward pass failed, and \"invalid gradient at index 0\" stands for this: {error.Message}");
            return [s_impossible.Value, null!];
        }
        finally
        {
            grad_output.Dispose();
        }
    }

    private static Tensor Gradient(LossGraph graph, AutogradContext ctx, Tensor upstream)
    {
        if (is_grad_enabled())
        {
            return graph.OverwritesLogits
                ? throw new NotSupportedException("create_graph needs logits that are still there; use asft_loss with inPlace: false.")
                : ComposedGradient.Of(graph, SavedTensors.Of(ctx.get_saved_variables()), upstream);
        }

        if (graph.OverwritesLogits && graph.IsSpent)
        {
            throw new InvalidOperationException("With inPlace, the gradient has replaced the logits, and there is no second backward; use inPlace: false.");
        }

        Tensor? buffer = null;
        if (graph.IsEager && !graph.IsSpent)
        {
            buffer = graph.HolderContext!.get_saved_variables()[0];
            double factor = TensorMemory.First(upstream);
            if (factor == 1 || graph.OverwritesLogits || IsExact(factor, buffer.dtype))
            {
                graph.IsSpent = true;
                return Scale(graph, ctx, buffer, upstream, factor);
            }
        }

        graph.IsSpent = true;
        return Recompute(graph, SavedTensors.Of(ctx.get_saved_variables()), upstream, buffer);
    }

    /// <summary>Multiplies the eager gradient.</summary>
    private static Tensor Scale(LossGraph graph, AutogradContext ctx, Tensor gradient, Tensor upstream, double factor)
    {
        if (factor != 1)
        {
            gradient.mul_(upstream);
            if (!double.IsFinite(factor))
            {
                ClearIgnored(graph, SavedTensors.Of(ctx.get_saved_variables()).Labels, gradient);
            }
        }

        // Not the saved tensor itself, which is in use and would be copied, but another one over its memory.
        return gradient.detach();
    }

    /// <summary>The gradient from the saved logits, with the upstream gradient known.</summary>
    private static Tensor Recompute(LossGraph graph, SavedTensors saved, Tensor upstream, Tensor? buffer)
    {
        LogitRows rows = LogitRows.Of(saved.Logits);
        Tensor gradient = buffer ?? LossComputation.GradientTarget(saved.Logits, rows, graph.OverwritesLogits);
        if (saved.Labels.numel() > 0)
        {
            TokenProblem problem = LossComputation.Problem(
                graph.Objective,
                saved.Labels,
                rows,
                saved.Reference is null ? default : LossComputation.ReferenceRows(saved.Reference, graph.OverwritesLogits ? gradient : null));
            graph.Kernel.Backward(problem, saved.Outputs, new TokenGradient
            {
                Logits = LogitRows.Of(gradient).Matrix,
                Scale = graph.Scale,
                Upstream = TensorMemory.Pointer(upstream.contiguous()),
                UpstreamStride = graph.PerToken ? 1 : 0,
            });
        }

        if (graph.OverwritesLogits)
        {
            TensorMemory.MarkWritten(saved.Logits);
        }

        return gradient.detach();
    }

    /// <summary>
    /// Whether multiplying the rounded gradient by a factor gives what rounding the product once would: always near enough in the
    /// types that arithmetic is done in; in bfloat16, for powers of two.
    /// </summary>
    private static bool IsExact(double factor, ScalarType type) => double.IsFinite(factor)
        && (type != ScalarType.BFloat16 || (BitConverter.DoubleToInt64Bits(factor) & 0xF_FFFF_FFFF_FFFF) == 0);

    /// <summary>Ignored rows are 0 whatever the upstream gradient, also where it is infinite.</summary>
    private static void ClearIgnored(LossGraph graph, Tensor labels, Tensor gradient)
    {
        LogitMatrix rows = LogitRows.Of(gradient).Matrix;
        long* label = (long*)TensorMemory.Pointer(labels);
        nuint bytes = (nuint)(gradient.size(-1) * gradient.element_size());
        for (long row = 0; row < labels.numel(); row++)
        {
            if (label[row] == graph.Objective.IgnoreIndex)
            {
                System.Runtime.InteropServices.NativeMemory.Clear(rows.Row(row), bytes);
            }
        }
    }
}
