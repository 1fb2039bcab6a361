using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>The backward pass of a loss on logits: the gradient that is there already, or a new one from what the graph has saved.</summary>
internal static class LossBackward
{
    /// <summary>The gradient of the logits.</summary>
    /// <param name="graph">The loss.</param>
    /// <param name="context">The context that has saved the tensors of <see cref="SavedTensors"/>.</param>
    /// <param name="upstream">The upstream gradient, without torch's negative bit.</param>
    public static Tensor Gradient(LossGraph graph, AutogradContext context, Tensor upstream)
    {
        if (is_grad_enabled())
        {
            return graph.OverwritesLogits
                ? throw new NotSupportedException("create_graph needs logits that are still there; use asft_loss with inPlace: false.")
                : ComposedGradient.Of(graph, graph.SavedBy(context), upstream);
        }

        bool isFirst = graph.TryTake();
        List<Tensor> held = isFirst ? graph.HolderContext!.get_saved_variables() : [];
        if (graph.Write is { } write)
        {
            if (!isFirst)
            {
                throw new InvalidOperationException("With inPlace, the gradient has replaced the logits, and there is no second backward; use inPlace: false.");
            }

            write.Finish();
            write.ThrowIfChanged(witness: held[^1]);
        }

        Tensor? computed = null;
        if (graph.IsEager && isFirst)
        {
            computed = held[0];
            if (graph.Device.TryMultiply(graph, context, computed, labels: held[1], upstream))
            {
                // Not the saved tensor itself, which is in use and would be copied, but another one over its memory.
                return computed.detach();
            }
        }

        return Recompute(graph, graph.SavedBy(context), upstream, computed, held.LastOrDefault());
    }

    /// <summary>The problem of the forward pass again.</summary>
    /// <param name="graph">The loss.</param>
    /// <param name="saved">What it saved.</param>
    /// <param name="rows">The rows of the saved logits.</param>
    /// <param name="gradient">Where the gradient is going to be written.</param>
    public static TokenProblem Problem(LossGraph graph, SavedTensors saved, LogitRows rows, Tensor gradient) => LossComputation.Problem(
        graph.Objective,
        saved.Labels,
        rows,
        saved.Reference is null ? default : LossComputation.ReferenceRows(saved.Reference, graph.OverwritesLogits ? gradient : null));

    /// <summary>The gradient from the saved logits, with the upstream gradient known.</summary>
    private static Tensor Recompute(LossGraph graph, SavedTensors saved, Tensor upstream, Tensor? buffer, Tensor? witness)
    {
        LogitRows rows = LogitRows.Of(saved.Logits);
        Tensor gradient = buffer ?? LossComputation.GradientTarget(saved.Logits, rows, graph.OverwritesLogits);
        graph.Write?.Overwrite(witness!);
        if (saved.Labels.numel() > 0)
        {
            graph.Device.Backward(
                Problem(graph, saved, rows, gradient), saved.Outputs, graph.Scale(saved).Gradient(LogitRows.Of(gradient).Matrix, upstream));
        }

        return gradient.detach();
    }
}
