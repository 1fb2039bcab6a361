using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What a <c>weighting</c> makes its weights of: statistics of each token's distribution, detached tensors of the labels' shape; float32, or
/// float64 for float64 logits. Positions that are ignored hold 0. They live until the weighting returns.
/// </summary>
/// <param name="LogProbability">Log-probability of the label under the policy, <c>lp[y]</c>.</param>
/// <param name="LogSumExp">Log-sum-exp of the scaled and capped policy logits.</param>
/// <param name="ReferenceLogProbability">The same of the label under the reference, <c>lq[y]</c>; null without a reference, or of top-k entries.</param>
/// <param name="Kl">
/// KL divergence between policy and reference as the objective says, in nats; null without a reference, or of label log-probabilities where
/// the objective's <c>KlEstimator</c> is <c>Exact</c>, which needs more, or of top-k entries where it is another.
/// </param>
/// <param name="Entropy">Entropy of the policy, <c>-sum p*lp</c>, in nats.</param>
/// <param name="SquaredProbabilitySum"><c>sum p²</c> of the policy, whose negative logarithm is its Rényi entropy of order 2.</param>
public sealed record TokenStatistics(
    Tensor LogProbability,
    Tensor LogSumExp,
    Tensor? ReferenceLogProbability,
    Tensor? Kl,
    Tensor Entropy,
    Tensor SquaredProbabilitySum);
