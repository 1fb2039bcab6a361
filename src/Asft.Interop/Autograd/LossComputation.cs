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

    private static unsafe (Tensor Loss, TokenTensors Tokens, TokenCount Count, LossGraph? Graph) Compute(
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

        RowLabels labels = RowLabels.Of(arguments.Labels, arguments.ShiftLabels, objective.IgnoreIndex);
        LossGraph? graph = null;
        try
        {
            (TokenScale scale, TokenCount count) = TokenScale.Count(kernel, labels, arguments);
            LogitRows rows = LogitRows.Of(arguments.Logits);
            bool perToken = arguments.Reduction == Reduction.None;
            bool eager = differentiate && !perToken && rows.Matrix.Type != ElementType.Float16;
            bool overwrites = differentiate && arguments.InPlace && !rows.IsCopy && !LogitRows.MayOverlapItself(arguments.Logits);
            bool backward = differentiate && !(eager && overwrites) && LossGraph.NeedsResults(kernel, eager);
            TokenTensors tokens = new(arguments, metrics, backward, perToken || kernel.IsAsynchronous);
            using HostMemory? losses = tokens.Loss is null ? new HostMemory(labels.Count * sizeof(double)) : null;
            void* tokenLosses = losses is null ? TensorMemory.Pointer(tokens.Loss!) : losses.Pointer;

            InPlaceWrite? write = overwrites ? InPlaceWrite.Announce(arguments.Logits) : null;
            Tensor? witness = overwrites ? InPlaceWrite.Witness(arguments.Logits) : null;
            Tensor? gradient = eager ? GradientBuffer.For(arguments.Logits, rows, overwrites) : null;
            if (eager)
            {
                write?.Overwrite(witness!); // now, as the kernel may fail when it has begun
            }

            if (labels.Count > 0)
            {
                LogitMatrix reference = readsReference ? LogitRows.Beside(arguments.Reference!, eager && overwrites ? gradient : null) : default;
                kernel.Forward(
                    rows.Problem(objective, labels.Pointer, labels.Count, reference),
                    tokens.Outputs(tokenLosses, readsReference),
                    gradient is null ? default : scale.Gradient(LogitRows.Of(gradient).Matrix));
            }

            Tensor loss = !perToken ? scale.Total(kernel, tokenLosses, labels.Count, arguments.Accumulator, arguments.Logits.device)
                : metrics ? LogitRows.Copy(tokens.Loss!) : tokens.Loss!;
            graph = !differentiate ? null : new LossGraph(kernel, arguments, labels, tokens, scale, eager, write)
            {
                Loss = loss,
                Gradients = [.. new[] { gradient, witness }.OfType<Tensor>()],
            };
            return (loss, tokens, count, graph);
        }
        finally
        {
            if (graph is null)
            {
                labels.Dispose();
            }
        }
    }
}
