using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The caller's function from statistics of the tokens to weights, and the steps around it: what <see cref="ITokenLossKernel.Forward"/> does in one.
/// </summary>
internal static class CallerWeighting
{
    /// <summary>What comes before the function: states of rows, and the statistics that follow from them.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="problem">The rows.</param>
    /// <param name="tokens">Where states and statistics go.</param>
    /// <param name="sharded">The exchange of states, where the rows are a shard.</param>
    /// <param name="first">The first token of the rows.</param>
    public static unsafe void Summarize(ITokenLossKernel kernel, in TokenProblem problem, TokenTensors tokens, ShardedRows? sharded, long first = 0)
    {
        if (sharded is null)
        {
            kernel.Summarize(problem, tokens.StateAt(first));
        }
        else
        {
            sharded.Summarize(problem, tokens.State!, first);
        }

        kernel.Finish(problem, tokens.Outputs(first));
    }

    /// <summary>Calls the function, and checks what it returns. Autograd must be off; what it makes belongs to the current dispose scope.</summary>
    /// <param name="weighting">The function.</param>
    /// <param name="statistics">What it is given.</param>
    /// <returns>The weights, of the labels' shape.</returns>
    /// <exception cref="ArgumentException">It returned no weights that can be used.</exception>
    public static Tensor Weights(Func<TokenStatistics, Tensor> weighting, TokenStatistics statistics)
    {
        Tensor? weights = weighting(statistics);
        if (weights is null || weights.IsInvalid)
        {
            throw new ArgumentException($"weighting returned {(weights is null ? "null" : "a tensor that was disposed")}.", nameof(weighting));
        }

        TokenArguments.CheckPerToken(weights, statistics.LogProbability, nameof(weighting), "What weighting returns");
        return !weights.requires_grad ? weights : throw new ArgumentException(
            $"weighting returned {TensorMemory.Describe(weights)} that requires grad, but weights are constants for differentiation; detach it.",
            nameof(weighting));
    }

    /// <summary>What comes after it, with its weights in the problem: results and, if it is wanted, the gradient.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="problem">The rows.</param>
    /// <param name="outputs">Their states, and where the results go.</param>
    /// <param name="gradient">Where the gradient goes; <c>default</c> for none.</param>
    public static void Finish(ITokenLossKernel kernel, in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        kernel.Finish(problem, outputs);
        if (!gradient.Logits.IsNull)
        {
            kernel.Backward(problem, outputs, gradient);
        }
    }
}
