using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>The forward pass: from checked arguments to the loss, the metrics and the graph.</summary>
/// <remarks>
/// Where the upstream gradient can be expected to be one factor for all tokens, the gradient is <i>eager</i>: the kernel computes it
/// along with the loss, in the same pass over the logits, and the backward pass multiplies it by that factor, which mostly is 1.
/// It is <i>deferred</i> to the backward pass where that would not do: with one upstream gradient per token, and for float16, whose
/// small gradients survive only if they are rounded after they were multiplied by the loss scale.
/// </remarks>
internal static class LossComputation
{
    /// <summary>Computes a loss.</summary>
    /// <param name="arguments">The checked arguments.</param>
    /// <param name="metrics">Whether the per-token results are wanted too.</param>
    /// <returns>The results, belonging to the caller's dispose scope; without metrics all but the loss are null.</returns>
    public static (Tensor Loss, TokenTensors? Tokens, TokenCount Count) Run(LossArguments arguments, bool metrics)
    {
        ITokenLossKernel kernel = KernelChooser.For(arguments.Logits, "logits");
        bool differentiate = is_grad_enabled() && arguments.Logits.requires_grad;

        // Everything made below that is not moved out of this scope is disposed with it, also when something throws.
        using DisposeScope scope = NewDisposeScope();
        arguments = arguments.Resolved();
        LossGraph? graph;
        TokenTensors tokens;
        Tensor loss;
        TokenCount count;
        using (no_grad())
        {
            (loss, tokens, count, graph) = Compute(kernel, arguments, metrics, differentiate);
        }

        loss = (graph is null ? loss : graph.Attach(arguments.Logits)).MoveToOuterDisposeScope();
        if (metrics)
        {
            tokens.MoveMetricsToOuterDisposeScope();
            count.MoveToOuterDisposeScope();
        }

        return (loss, metrics ? tokens : null, count);
    }

    private static (Tensor Loss, TokenTensors Tokens, TokenCount Count, LossGraph? Graph) Compute(
        ITokenLossKernel kernel, LossArguments arguments, bool metrics, bool differentiate)
    {
        kernel.ThrowIfFaulted();
        LossObjective objective = arguments.Objective;
        bool readsReference = arguments.Reference is not null && (objective.NeedsReference || metrics);
        InPlaceWrite.ThrowIfOverwritten(arguments.Logits, "logits");
        if (readsReference)
        {
            InPlaceWrite.ThrowIfOverwritten(arguments.Reference!, "referenceLogits");
        }

        Tensor labels = RowLabels.Create(arguments.Labels, arguments.ShiftLabels, objective.IgnoreIndex);
        (TokenScale scale, TokenCount count) = TokenScale.Count(kernel, labels, arguments);

        LogitRows rows = LogitRows.Of(arguments.Logits);
        bool eager = differentiate && arguments.Reduction != Reduction.None && rows.Matrix.Type != ElementType.Float16;
        bool overwrites = differentiate && arguments.InPlace && !rows.IsCopy && !LogitRows.MayOverlapItself(arguments.Logits);
        TokenTensors tokens = new(arguments, metrics, differentiate && !(eager && overwrites) && LossGraph.NeedsResults(kernel, eager));

        InPlaceWrite? write = overwrites ? InPlaceWrite.Announce(arguments.Logits) : null;
        Tensor? witness = overwrites ? InPlaceWrite.Witness(arguments.Logits) : null;
        Tensor? gradient = eager ? GradientBuffer.For(arguments.Logits, rows, overwrites) : null;
        if (eager)
        {
            write?.Overwrite(witness!); // now, as the kernel may fail when it has begun
        }

        if (labels.numel() > 0)
        {
            TokenProblem problem = rows.Problem(
                objective, labels, readsReference ? LogitRows.Beside(arguments.Reference!, eager && overwrites ? gradient : null) : default);
            kernel.Forward(
                problem, tokens.Outputs(readsReference), gradient is null ? default : scale.Gradient(LogitRows.Of(gradient).Matrix));
        }

        Tensor loss = arguments.Reduction == Reduction.None
            ? metrics ? LogitRows.Copy(tokens.Loss) : tokens.Loss
            : scale.Total(kernel, tokens.Loss);
        LossGraph? graph = !differentiate ? null : new LossGraph(kernel, arguments, labels, tokens, scale, eager, write)
        {
            PerToken = arguments.Reduction == Reduction.None,
            Loss = loss,
            Gradients = [.. gradient is null ? [] : (Tensor[])[gradient, labels], .. witness is null ? [] : (Tensor[])[witness]],
        };
        return (loss, tokens, count, graph);
    }
}
