using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The caller's function from statistics of the tokens to weights.</summary>
internal static class CallerWeighting
{
    /// <summary>Calls it, and checks what it returns. Autograd must be off; what it makes belongs to the current dispose scope.</summary>
    /// <param name="weighting">The function.</param>
    /// <param name="statistics">What it is given.</param>
    /// <returns>The weights, of the labels' shape.</returns>
    /// <exception cref="ArgumentException">It returned no weights that can be used.</exception>
    public static Tensor Weights(Func<TokenStatistics, Tensor> weighting, TokenStatistics statistics)
    {
        Tensor like = statistics.LogProbability;
        Tensor? weights = weighting(statistics);
        if (weights is null || weights.IsInvalid)
        {
            throw Refusal(nameof(weighting), weights is null ? "null" : "a tensor that was disposed");
        }

        bool isShaped = weights.dim() == like.dim() && TensorMemory.HaveSameSizes(weights, like, like.dim());
        if (!isShaped || TensorMemory.TypeOf(weights) is null || weights.is_sparse || weights.device_type != like.device_type
            || weights.device_index != like.device_index)
        {
            throw Refusal(nameof(weighting), $"{TensorMemory.Describe(weights)}; the labels are {TensorMemory.Format(like.shape)} on {like.device}");
        }

        return !weights.requires_grad ? weights : throw Refusal(
            nameof(weighting), $"{TensorMemory.Describe(weights)} that requires grad, but weights are constants for differentiation; detach it");
    }

    /// <summary>Summarizes logits, asks for weights, and puts them into the inputs.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="arguments">The arguments of the loss, with a weighting.</param>
    /// <param name="inputs">Where the weights go.</param>
    /// <param name="rows">The logits.</param>
    /// <param name="reference">The reference's logits, if that is what it is.</param>
    /// <param name="tokens">Where the states and the statistics go.</param>
    public static unsafe void Ask(
        ITokenLossKernel kernel, LossArguments arguments, TokenInputs inputs, LogitRows rows, LogitMatrix reference, TokenTensors tokens)
    {
        TokenArguments asked = arguments.Tokens;
        TokenProblem problem = inputs.Problem(asked.Objective, arguments.Logits.size(-1), rows.Matrix, reference);
        kernel.Summarize(problem, tokens.StateAt());
        kernel.Finish(problem, tokens.StatisticsOutputs());
        inputs.Give(
            Weights(asked.Weighting!, tokens.Statistics(asked.Reference, asked.Objective, static tensor => tensor)), arguments.Accumulator);
    }

    private static ArgumentException Refusal(string name, string got) => new(
        $"{name} must return a dense floating-point tensor of the labels' shape, on their device; it returned {got}.", name);
}
