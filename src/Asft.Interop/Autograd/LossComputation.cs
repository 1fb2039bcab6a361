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
        TokenArguments asked = arguments.Tokens;
        bool weighs = asked.Weighting is not null;
        bool readsReference = arguments.ReferenceLogits is not null && (asked.Objective.NeedsReference || metrics || weighs);
        InPlaceWrite.ThrowIfOverwritten(arguments.Logits, "logits");
        if (readsReference)
        {
            InPlaceWrite.ThrowIfOverwritten(arguments.ReferenceLogits!, "reference");
        }

        TokenInputs inputs = TokenInputs.Of(asked, arguments.Accumulator);
        LossGraph? graph = null;
        try
        {
            (TokenScale scale, TokenCount count) = TokenScale.Count(kernel, inputs, arguments);
            LogitRows rows = LogitRows.Of(arguments.Logits);
            bool perToken = asked.Reduction == Reduction.None;
            bool eager = differentiate && !perToken && rows.Matrix.Type != ElementType.Float16;
            bool overwrites = differentiate && arguments.InPlace && !rows.IsCopy && !LogitRows.MayOverlapItself(arguments.Logits);
            bool backward = inputs.IsShard || (differentiate && !(eager && overwrites) && LossGraph.NeedsResults(kernel, eager, inputs));
            ShardedRows? sharded = ShardedRows.Begin(kernel, asked, inputs, new ShardShape
            {
                Columns = arguments.Logits.size(-1),
                ElementBytes = arguments.Logits.element_size() + (readsReference ? arguments.ReferenceLogits!.element_size() : 0),
                Type = rows.Matrix.Type,
                HasReference = asked.Reference is not null && (asked.Objective.NeedsReference || metrics || weighs),
                HasMetrics = metrics,
                HasGradient = differentiate,
            });
            TokenTensors tokens = new(asked.Labels, arguments.Accumulator, metrics, weighs, backward, perToken || kernel.IsAsynchronous);
            using HostMemory? losses = tokens.Loss is null ? new HostMemory(inputs.Count * sizeof(double)) : null;
            void* tokenLosses = losses is null ? TensorMemory.Pointer(tokens.Loss!) : losses.Pointer;
            LogitMatrix reference = !readsReference || inputs.Count == 0 ? default
                : LogitRows.Beside(arguments.ReferenceLogits!, eager && overwrites ? arguments.Logits : null);
            if (weighs && inputs.Count > 0)
            {
                CallerWeighting.Summarize(kernel, inputs.Problem(asked.Objective, arguments.Logits.size(-1), rows.Matrix, reference), tokens, sharded);
                TokenStatistics statistics = tokens.Statistics(asked.Reference, asked.Objective, static tensor => tensor);
                inputs.Give(CallerWeighting.Weights(asked.Weighting!, statistics), arguments.Accumulator);
            }

            InPlaceWrite? write = overwrites ? InPlaceWrite.Announce(arguments.Logits) : null;
            Tensor? witness = overwrites ? InPlaceWrite.Witness(arguments.Logits) : null;
            Tensor? gradient = eager ? GradientBuffer.For(arguments.Logits, rows, overwrites) : null;
            if (eager)
            {
                write?.Overwrite(witness!); // now, as the kernel may fail when it has begun
            }

            if (inputs.Count > 0)
            {
                TokenProblem problem = inputs.Problem(asked.Objective, arguments.Logits.size(-1), rows.Matrix, reference);
                TokenOutputs outputs = tokens.Outputs() with { Loss = tokenLosses };
                TokenGradient wanted = gradient is null ? default : scale.Gradient(LogitRows.Of(gradient).Matrix);
                if (weighs)
                {
                    CallerWeighting.Finish(kernel, problem, outputs, wanted);
                }
                else if (sharded is not null)
                {
                    sharded.Forward(problem, outputs, wanted, tokens.State!, firstState: 0);
                }
                else
                {
                    kernel.Forward(problem, outputs, wanted);
                }
            }

            Tensor loss = !perToken ? scale.Total(kernel, tokenLosses, inputs.Count, arguments.Accumulator, arguments.Logits.device)
                : metrics ? LogitRows.Copy(tokens.Loss!) : tokens.Loss!;
            graph = !differentiate ? null : new LossGraph(kernel, arguments, inputs, tokens, scale, eager, write)
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
                inputs.Dispose();
            }
        }
    }
}
