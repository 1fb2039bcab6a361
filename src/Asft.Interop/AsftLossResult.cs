using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// A loss and what is worth watching about each token. <see cref="Loss"/> carries the graph; the other tensors are detached and have
/// the shape of the labels. Floating-point tensors are float32, or float64 for float64 logits. A position whose label is ignored, or
/// whose token weight is 0, holds 0, and -1 in <see cref="PredictedToken"/>; with <c>shiftLabels</c>, position t tells about the prediction of label t+1.
/// </summary>
public sealed record AsftLossResult : IDisposable
{
    private readonly TokenCount _count;

    internal AsftLossResult(
        Tensor loss,
        Tensor tokenLoss,
        Tensor tokenLogProbability,
        Tensor tokenWeight,
        Tensor tokenKl,
        Tensor tokenLogSumExp,
        Tensor tokenEntropy,
        Tensor predictedToken,
        TokenCount count)
    {
        Loss = loss;
        TokenLoss = tokenLoss;
        TokenLogProbability = tokenLogProbability;
        TokenWeight = tokenWeight;
        TokenKl = tokenKl;
        TokenLogSumExp = tokenLogSumExp;
        TokenEntropy = tokenEntropy;
        PredictedToken = predictedToken;
        _count = count;
    }

    /// <summary>The loss, reduced as asked: a scalar, or with <c>Reduction.None</c> one per label.</summary>
    public Tensor Loss { get; }

    /// <summary>The loss of each token, <c>u*(NllWeight*w*nll + KlWeight*kl + ZLossWeight*lse²)</c> with the caller's token weight u.</summary>
    public Tensor TokenLoss { get; }

    /// <summary>Log-probability of the label under the policy, <c>lp[y]</c>.</summary>
    public Tensor TokenLogProbability { get; }

    /// <summary>The weight w of the token's negative log-likelihood.</summary>
    public Tensor TokenWeight { get; }

    /// <summary>
    /// KL divergence between policy and reference in the direction of the objective, in nats, never negative, or the objective's estimate of it.
    /// Computed whenever a reference is given that tells it, even with a <c>KlWeight</c> of 0; 0 without one.
    /// </summary>
    public Tensor TokenKl { get; }

    /// <summary>Log-sum-exp of the scaled and capped policy logits.</summary>
    public Tensor TokenLogSumExp { get; }

    /// <summary>Entropy of the policy, <c>-sum p*lp</c>, in nats: how undecided it is about the token.</summary>
    public Tensor TokenEntropy { get; }

    /// <summary>
    /// int64: the index of the largest policy logit, the first of equals; -1 where a logit is NaN. It is what <c>logits.argmax(-1)</c> was before the
    /// call: after a loss in place, that reads gradients.
    /// </summary>
    public Tensor PredictedToken { get; }

    /// <summary>
    /// Number of labels that are not ignored. For tensors on a CUDA device, the first look at it waits for the device.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// On a CUDA device only, where labels are checked as the device gets to them: one was neither in <c>[0, V)</c> nor the ignore index.
    /// </exception>
    /// <exception cref="ObjectDisposedException">On a CUDA device only: the result was disposed before the first look.</exception>
    public long TokenCount => _count.Value;

    /// <summary>Disposes every tensor, the loss and with it the graph included.</summary>
    public void Dispose()
    {
        Loss.Dispose();
        TokenLoss.Dispose();
        TokenLogProbability.Dispose();
        TokenWeight.Dispose();
        TokenKl.Dispose();
        TokenLogSumExp.Dispose();
        TokenEntropy.Dispose();
        PredictedToken.Dispose();
        _count.Dispose();
    }
}
