using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>The forward pass of a linear loss: from checked arguments to the loss, the metrics and the graph.</summary>
/// <remarks>
/// A block's logits are gone when the next block's are made, so the gradients of the inputs are computed along with the loss
/// wherever the upstream gradient can be one factor for all tokens: the backward pass multiplies and rounds them. With one
/// upstream gradient per token (<c>Reduction.None</c>) that is too late, as the gradients are sums over tokens: the forward pass
/// then computes no gradient, and the backward pass computes the logits again. So does a second backward pass.
/// </remarks>
internal static class LinearComputation
{
    /// <summary>Computes a loss; the tensors of the result belong to the caller's dispose scope.</summary>
    public static Tensor Loss(LinearArguments arguments)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor loss, _, CountedRows rows, bool isKept) = Run(arguments, metrics: false);
        using CountedRows? done = isKept ? null : rows;
        return loss.MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Computes a loss and the results of each token; the tensors of the result belong to the caller's dispose scope.
    /// </summary>
    public static AsftLossResult LossWithMetrics(LinearArguments arguments)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor loss, TokenTensors tokens, CountedRows rows, bool isKept) = Run(arguments, metrics: true);
        using CountedRows? done = isKept ? null : rows;
        using IDisposable noGrad = no_grad();
        long[] shape = TensorMemory.Shape(arguments.Tokens.Labels);
        AsftLossResult result = new(
            loss,
            rows.Spread(tokens.Loss!, shape),
            rows.Spread(tokens.LogProbability!, shape),
            rows.Spread(tokens.Weight!, shape),
            rows.Spread(tokens.Kl!, shape),
            rows.Spread(tokens.LogSumExp!, shape),
            rows.Spread(tokens.Entropy!, shape),
            rows.Spread(tokens.Predicted!, shape, other: -1),
            new TokenCount(rows.Labelled));
        scope.MoveToOuter(
            result.Loss,
            result.TokenLoss,
            result.TokenLogProbability,
            result.TokenWeight,
            result.TokenKl,
            result.TokenLogSumExp,
            result.TokenEntropy,
            result.PredictedToken);
        return result;
    }

    /// <summary>Computes; the rows are the caller's to dispose, unless a graph keeps them.</summary>
    private static (Tensor Loss, TokenTensors Tokens, CountedRows Rows, bool IsKept) Run(LinearArguments arguments, bool metrics)
    {
        ITokenLossKernel kernel = KernelChooser.For(arguments.Inputs.Hidden, "hidden");
        arguments = arguments.Resolved();
        GradientNeeds needs = GradientNeeds.Of(arguments.Inputs);
        Tensor loss;
        TokenTensors tokens;
        CountedRows rows;
        LinearGraph? graph;
        using (no_grad())
        {
            kernel.ThrowIfFaulted();
            rows = CountedRows.Of(arguments);
            try
            {
                (loss, tokens, graph) = Compute(kernel, arguments, rows, metrics, needs);
            }
            catch
            {
                rows.Dispose();
                throw;
            }
        }

        return (graph is null ? loss : graph.Attach(needs.Select(arguments.Inputs)), tokens, rows, graph is not null);
    }

    private static (Tensor Loss, TokenTensors Tokens, LinearGraph? Graph) Compute(
        ITokenLossKernel kernel, LinearArguments arguments, CountedRows rows, bool metrics, GradientNeeds needs)
    {
        TokenArguments asked = arguments.Tokens;
        bool weighs = asked.Weighting is not null;
        bool perToken = asked.Reduction == Reduction.None;
        TokenScale scale = TokenScale.Of(asked.Reduction, rows.TokenCount, rows.Labelled);
        LinearInputs all = arguments.Inputs.WithSharedHead();
        LinearInputs needed = asked.Objective.NeedsReference ? all : all.WithoutReference();
        LinearGradients? gradients = needs.Any && !perToken ? new LinearGradients(needed, needs, rows) : null;
        TokenTensors tokens = new(
            TensorMemory.Empty([rows.Count], needed.Accumulator, needed.Hidden.device), needed.Accumulator, metrics, weighs,
            backward: asked.Shard is not null, losses: true);
        LinearInputs read = metrics || weighs ? all : needed;
        ShardedRows? sharded = ShardedRows.Begin(kernel, asked, rows.Tokens, new ShardShape
        {
            Columns = read.Vocabulary,
            ElementBytes = (read.Accumulator == ScalarType.Float64 ? sizeof(double) : sizeof(float)) * (read.ReferenceHidden is null ? 1 : 2),
            Type = read.Accumulator == ScalarType.Float64 ? ElementType.Float64 : ElementType.Float32,
            HasReference = asked.Reference is not null && (asked.Objective.NeedsReference || metrics || weighs),
            HasMetrics = metrics,
            HasGradient = needs.Weight || needs.Bias,
            HasHiddenGradient = needs.Hidden,
        });
        var pass = new LinearPass(kernel, asked.Objective, read, rows, arguments.Options, sharded);
        if (weighs)
        {
            pass.Summarize(tokens);
            AskWeights(asked, rows, tokens, needed.Accumulator);
            pass.Finish(tokens, gradients, 1 / scale.Denominator);
        }
        else
        {
            pass.Forward(tokens, gradients, 1 / scale.Denominator);
        }

        Tensor loss = perToken
            ? rows.Spread(tokens.Loss!, TensorMemory.Shape(asked.Labels))
            : scale.Total(kernel, tokens.Loss!);
        LinearGraph? graph = !needs.Any ? null : new LinearGraph(needed, needs)
        {
            Kernel = kernel,
            Objective = asked.Objective,
            Options = arguments.Options,
            Rows = rows,
            Sharded = sharded,
            Scale = 1 / scale.Denominator,
            PerToken = perToken,
            Loss = loss,
            Gradients = gradients?.ToList() ?? [],
        };
        return (loss, tokens, graph);
    }

    private static void AskWeights(TokenArguments asked, CountedRows rows, TokenTensors tokens, ScalarType type)
    {
        if (rows.Count == 0)
        {
            return;
        }

        long[] shape = TensorMemory.Shape(asked.Labels);
        TokenStatistics statistics = tokens.Statistics(asked.Reference, asked.Objective, tensor => rows.Spread(tensor, shape));
        Tensor weights = CallerWeighting.Weights(asked.Weighting!, statistics);
        rows.Tokens.Give(DeviceServices.Current.Rows(weights.reshape(-1), rows.Places), type);
    }
}
