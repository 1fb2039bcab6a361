using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// A loss and what is worth watching about each token. <see cref="Loss"/> carries the graph; the other tensors are detached and have
/// the shape of the labels. Floating-point tensors are float32, or float64 for float64 logits. A position whose label is ignored
/// holds 0, and -1 in <see cref="PredictedToken"/>; with <c>shiftLabels</c>, position t tells about the prediction of label t+1.
/// </summary>
/// <param name="Loss">The loss, reduced as asked: a scalar, or with <c>Reduction.None</c> one per label.</param>
/// <param name="TokenLoss">The loss of each token, <c>w*nll + KlWeight*kl + ZLossWeight*lse²</c>.</param>
/// <param name="TokenLogProbability">Log-probability of the label under the policy, <c>lp[y]</c>.</param>
/// <param name="TokenWeight">The weight w of the token's negative log-likelihood.</param>
/// <param name="TokenKl">
/// KL divergence between policy and reference in the direction of the objective, in nats, never negative. Computed whenever reference
/// logits are given, even with a <c>KlWeight</c> of 0; 0 without them.
/// </param>
/// <param name="TokenLogSumExp">Log-sum-exp of the scaled and capped policy logits.</param>
/// <param name="PredictedToken">int64: the index of the largest policy logit, the first of equals; -1 where a logit is NaN.</param>
/// <param name="TokenCount">Number of labels that are not ignored.</param>
public sealed record AsftLossResult(
    Tensor Loss,
    Tensor TokenLoss,
    Tensor TokenLogProbability,
    Tensor TokenWeight,
    Tensor TokenKl,
    Tensor TokenLogSumExp,
    Tensor PredictedToken,
    long TokenCount) : IDisposable
{
    /// <summary>Disposes every tensor, the loss and with it the graph included.</summary>
    public void Dispose()
    {
        Loss.Dispose();
        TokenLoss.Dispose();
        TokenLogProbability.Dispose();
        TokenWeight.Dispose();
        TokenKl.Dispose();
        TokenLogSumExp.Dispose();
        PredictedToken.Dispose();
    }
}
