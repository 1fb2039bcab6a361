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
        return Run(arguments, metrics: false).Loss.MoveToOuterDisposeScope();
    }

    /// <summary>
    /// Computes a loss and the results of each token; the tensors of the result belong to the caller's dispose scope.
    /// </summary>
    public static AsftLossResult LossWithMetrics(LinearArguments arguments)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor loss, LinearTokens tokens) = Run(arguments, metrics: true);
        using IDisposable noGrad = no_grad();
        AsftLossResult result = tokens.Result(loss, arguments.Labels.shape);
        scope.MoveToOuter(
            result.Loss, result.TokenLoss, result.TokenLogProbability, result.TokenWeight, result.TokenKl, result.TokenLogSumExp, result.PredictedToken);
        return result;
    }

    private static (Tensor Loss, LinearTokens Tokens) Run(LinearArguments arguments, bool metrics)
    {
        ITokenLossKernel kernel = KernelChooser.For(arguments.Inputs.Hidden, "hidden");
        arguments = arguments.Resolved();
        GradientNeeds needs = GradientNeeds.Of(arguments.Inputs);
        Tensor loss;
        LinearTokens tokens;
        LinearGraph? graph;
        using (no_grad())
        {
            (loss, tokens, graph) = Compute(kernel, arguments, metrics, needs);
        }

        return (graph is null ? loss : graph.Attach(needs.Select(arguments.Inputs)), tokens);
    }

    private static (Tensor Loss, LinearTokens Tokens, LinearGraph? Graph) Compute(
        ITokenLossKernel kernel, LinearArguments arguments, bool metrics, GradientNeeds needs)
    {
        kernel.ThrowIfFaulted();
        bool perToken = arguments.Reduction == Reduction.None;
        CountedRows rows = CountedRows.Of(arguments);
        TokenScale scale = TokenScale.Of(arguments.Reduction, arguments.TokenCount, rows.Count);
        LinearInputs all = arguments.Inputs.WithSharedHead();
        LinearInputs needed = arguments.Objective.NeedsReference ? all : all.WithoutReference();
        LinearGradients? gradients = needs.Any && !perToken ? new LinearGradients(needed, needs, rows) : null;
        LinearTokens tokens = new(rows, needed.Accumulator, needed.Hidden.device, metrics);
        LinearPass.Run(kernel, arguments.Objective, metrics ? all : needed, rows, arguments.Options, tokens, gradients, 1 / scale.Denominator);

        Tensor loss = perToken
            ? tokens.Spread(tokens.Loss, arguments.Labels.shape)
            : scale.Total(kernel, tokens.Loss);
        LinearGraph? graph = !needs.Any ? null : new LinearGraph(needed, needs)
        {
            Kernel = kernel,
            Objective = arguments.Objective,
            Options = arguments.Options,
            Rows = rows,
            Scale = 1 / scale.Denominator,
            PerToken = perToken,
            Loss = loss,
            Gradients = gradients?.ToList() ?? [],
        };
        return (loss, tokens, graph);
    }
}
