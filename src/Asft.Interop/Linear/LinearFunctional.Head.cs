using Asft.Kernels;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <content>The loss from hidden states and the head as a module.</content>
public static partial class AsftFunctional
{
    /// <summary>
    /// The loss of an <see cref="LossObjective"/> from hidden states and the head that would make logits of them: its weight and, if it has
    /// one, its bias. Both get their gradients. For a head that is no <c>Linear</c>, there is the overload that takes weight and bias.
    /// </summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>: float32, bfloat16, float16 or float64.</param>
    /// <param name="head">The head, from d to V, of the dtype of <paramref name="hidden"/>.</param>
    /// <param name="labels">Labels <c>[...]</c>, int64 or int32, each in <c>[0, V)</c> or <see cref="LossObjective.IgnoreIndex"/>.</param>
    /// <param name="reference">
    /// What the policy is anchored to. A tensor stands for the reference's hidden states under <paramref name="head"/> as it is now: the case of a
    /// frozen head. Of a head that is trained, the reference needs a frozen copy: <see cref="TokenReference.Hidden(Tensor, Linear)"/>. May be null
    /// if the objective needs no reference.
    /// </param>
    /// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>, which needs a <paramref name="reference"/>.</param>
    /// <param name="reduction">How token losses become the loss.</param>
    /// <param name="tokenCount">One element above 0: the number of tokens that a mean is over, where that is not the number in <paramref name="labels"/>.</param>
    /// <param name="shiftLabels">Scores position t against label t+1; the last position counts for nothing, and the first label is not read.</param>
    /// <param name="tokenWeights">A factor of each token's loss; null for 1.</param>
    /// <param name="weighting">A function from the statistics of the tokens to weights; null for the objective's weighting.</param>
    /// <param name="shard">Where the head is some rows of the whole, and other ranks have the others; null where it is all.</param>
    /// <param name="options">The memory to spend; null for the default.</param>
    /// <returns>
    /// The loss: a scalar, or for <c>Reduction.None</c> a tensor of the shape of <paramref name="labels"/>; float32, or float64 for float64
    /// hidden states.
    /// </returns>
    /// <remarks>Everything else is as for the overload that takes weight and bias.</remarks>
    /// <exception cref="ArgumentNullException">An argument is null that must not be.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither in <c>[0, V)</c> nor the ignore index, or <paramref name="tokenCount"/> is not above 0.</exception>
    /// <exception cref="ArgumentException">
    /// An argument has the wrong shape, dtype or device. What is wrong about a head is told of its weight or bias, which are named as in the
    /// overload that takes these.
    /// </exception>
    /// <exception cref="NotSupportedException">The hidden states are on a device that there is no kernel for.</exception>
    public static Tensor linear_asft_loss(
        Tensor hidden,
        Linear head,
        Tensor labels,
        TokenReference? reference = null,
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        Tensor? tokenWeights = null,
        Func<TokenStatistics, Tensor>? weighting = null,
        VocabularyShard? shard = null,
        LinearLossOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(head);
        return linear_asft_loss(
            hidden, head.weight, labels, head.bias, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard, options);
    }

    /// <summary><c>linear_asft_loss</c> of a head as a module, with the results of each token, which the same pass computes.</summary>
    /// <param name="hidden">As for <c>linear_asft_loss</c>.</param>
    /// <param name="head">As for <c>linear_asft_loss</c>.</param>
    /// <param name="labels">As for <c>linear_asft_loss</c>.</param>
    /// <param name="reference">
    /// As for <c>linear_asft_loss</c>, but used also if the objective does not need it: <see cref="AsftLossResult.TokenKl"/> is
    /// computed whenever what is given tells it.
    /// </param>
    /// <param name="objective">As for <c>linear_asft_loss</c>.</param>
    /// <param name="reduction">As for <c>linear_asft_loss</c>.</param>
    /// <param name="tokenCount">As for <c>linear_asft_loss</c>.</param>
    /// <param name="shiftLabels">As for <c>linear_asft_loss</c>.</param>
    /// <param name="tokenWeights">As for <c>linear_asft_loss</c>.</param>
    /// <param name="weighting">As for <c>linear_asft_loss</c>.</param>
    /// <param name="shard">As for <c>linear_asft_loss</c>.</param>
    /// <param name="options">As for <c>linear_asft_loss</c>.</param>
    /// <returns>
    /// The loss and the metrics. They are tensors of the current dispose scope; outside of one, dispose the result.
    /// </returns>
    /// <exception cref="ArgumentNullException">As for <c>linear_asft_loss</c>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">As for <c>linear_asft_loss</c>.</exception>
    /// <exception cref="ArgumentException">As for <c>linear_asft_loss</c>.</exception>
    /// <exception cref="NotSupportedException">As for <c>linear_asft_loss</c>.</exception>
    public static AsftLossResult linear_asft_loss_with_metrics(
        Tensor hidden,
        Linear head,
        Tensor labels,
        TokenReference? reference = null,
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        Tensor? tokenWeights = null,
        Func<TokenStatistics, Tensor>? weighting = null,
        VocabularyShard? shard = null,
        LinearLossOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(head);
        return linear_asft_loss_with_metrics(
            hidden, head.weight, labels, head.bias, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard, options);
    }
}
