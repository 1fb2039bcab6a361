using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <content>The loss from hidden states.</content>
public static partial class AsftFunctional
{
    /// <summary>
    /// The loss of an <see cref="LossObjective"/> from hidden states and the output projection, with its exact gradients, without
    /// ever holding the logits of more than one block of tokens:
    /// <c>asft_loss(hidden W^T + b, labels, hr Wr^T + br)</c> with the reference's hidden states hr, in the memory of a workspace (see
    /// <see cref="LinearLossOptions"/>).
    /// </summary>
    /// <param name="hidden">
    /// Hidden states <c>[..., d]</c>: float32, bfloat16, float16 or float64. Copied only if the leading dimensions do not fold
    /// into one.
    /// </param>
    /// <param name="weight">
    /// Weight of the head, <c>[V, d]</c> as in <c>torch.nn.Linear</c>, of the dtype of <paramref name="hidden"/>; it may be
    /// shared with the embedding.
    /// </param>
    /// <param name="labels">
    /// Labels <c>[...]</c>, int64 or int32, each in <c>[0, V)</c> or <see cref="LossObjective.IgnoreIndex"/>.
    /// </param>
    /// <param name="bias">
    /// Bias of the head, <c>[V]</c>, of the dtype of <paramref name="hidden"/>; null for a head without one. Nothing can tell that a head's
    /// bias was forgotten: where the head is a <c>Linear</c>, give that (the overload that takes it) rather than its parts.
    /// </param>
    /// <param name="reference">
    /// What the policy is anchored to. A tensor stands for the reference's hidden states <c>[..., d]</c>, of any floating dtype, under the policy's
    /// own head as it is now, with its bias: the case of a frozen head, where one matrix product makes both sets of logits. Another head, or a
    /// frozen copy of this one, is told by <see cref="TokenReference.Hidden(Tensor, Tensor, Tensor)"/>. A <see cref="ReferenceCache"/>
    /// provides it without the reference model. A constant, even if it requires grad; null if the objective needs none.
    /// </param>
    /// <param name="objective">
    /// The objective; null for <c>LossObjective.Asft()</c>, which needs a <paramref name="reference"/>.
    /// </param>
    /// <param name="reduction">
    /// <c>Mean</c> divides the sum of the token losses by the number of labels that are not ignored, or by
    /// <paramref name="tokenCount"/>. If there are no such labels, the loss is 0 and so are the gradients. <c>None</c> costs a
    /// second computation of the logits in the backward pass.
    /// </param>
    /// <param name="tokenCount">
    /// One element above 0, as for <see cref="asft_loss"/>: the number of tokens that a mean is over.
    /// </param>
    /// <param name="shiftLabels">
    /// Scores position t against label t+1, along the last dimension of <paramref name="labels"/>; the last position counts for
    /// nothing, and the first label is not read. The hidden states are not copied.
    /// </param>
    /// <param name="tokenWeights">
    /// A factor of each token's loss, <c>[...]</c> as <paramref name="labels"/>, as for <see cref="asft_loss"/>. Tokens whose weight is 0 take part
    /// in nothing, but count in a mean. Null for 1.
    /// </param>
    /// <param name="weighting">
    /// A function from the statistics of the tokens to weights, as for <see cref="asft_loss"/>, called once for all tokens. The logits are computed
    /// once more after it if a gradient is wanted. Null for the objective's weighting.
    /// </param>
    /// <param name="shard">
    /// Where <paramref name="weight"/>, <paramref name="bias"/> and a reference's head are some rows of the whole, and other ranks have the others, as
    /// for <see cref="asft_loss"/>: which, of how many, and the ranks. Every rank has the same hidden states, gets the whole gradient of them, summed
    /// over the ranks, and that of its own rows of the weight. The backward pass waits for the other ranks if the forward pass had no gradient.
    /// </param>
    /// <param name="options">The memory to spend; null for the default. The results do not depend on it beyond rounding.</param>
    /// <returns>
    /// The loss: a scalar, or for <c>Reduction.None</c> a tensor of the shape of <paramref name="labels"/>; float32, or float64
    /// for float64 hidden states. Under <c>no_grad</c>, or if no input requires grad, no gradient is computed.
    /// </returns>
    /// <remarks>
    /// <para>
    /// Rows with an ignored label take part in nothing: neither in the matrix products nor in the loss. What an input's gradient
    /// would cost is not spent where it does not require grad: with a frozen head, there is no product for its gradient.
    /// </para>
    /// <para>
    /// Logits, the loss and all sums are float32 (float64 for float64 inputs) whatever the dtype of the inputs; gradients are
    /// rounded to it once, after the upstream gradient was multiplied in, so that float16 under a loss scale keeps its small
    /// ones. Until then, the gradients of the inputs are kept in float32 by the graph. bfloat16 hidden states and weights are multiplied on the
    /// processor's bfloat16 units where it has them, with float32 sums and logits; the gradient of the logits is rounded to bfloat16 there, as an
    /// operand. Other 16-bit inputs are converted.
    /// </para>
    /// <para>
    /// The graph keeps the inputs (not copies of them) until the loss is disposed, for a backward with <c>Reduction.None</c> and
    /// for a second one (<c>retain_graph: true</c>): both compute the logits again, and fail if an input was changed meanwhile.
    /// <c>create_graph: true</c> is an error: use <see cref="asft_loss"/> for it. How errors in a backward pass reach the caller
    /// is told there.
    /// </para>
    /// <para>
    /// Where the tensors are on a CUDA device, this reads the labels to the host, as the sizes of the blocks follow from them, and the
    /// backward pass reads the upstream gradient, if it is one number: each waits for the device once. Labels are checked before any work;
    /// one out of range that an earlier <see cref="asft_loss"/> met on the device is thrown here, as by that function itself.
    /// </para>
    /// <para>
    /// The idea of a head fused with its loss is that of Cut Cross-Entropy (Wijmans and others, arXiv 2411.09009) and of Liger
    /// Kernel's fused linear losses (arXiv 2410.10989); unlike the former, no gradient is left out for being small.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException">
    /// An argument is null that must not be; for the objective's sake, it may be <paramref name="reference"/>.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException">
    /// A label is neither in <c>[0, V)</c> nor the ignore index: the message gives the place and value of the first. Or
    /// <paramref name="tokenCount"/> is not above 0.
    /// </exception>
    /// <exception cref="ArgumentException">An argument has the wrong shape, dtype or device; the message names it.</exception>
    /// <exception cref="InvalidOperationException">
    /// The ranks of a <paramref name="shard"/> call this with different tokens, dtypes or objectives, or their rows are not the vocabulary: every rank
    /// throws then.
    /// </exception>
    /// <exception cref="NotSupportedException">The hidden states are on a device that there is no kernel for.</exception>
    public static Tensor linear_asft_loss(
        Tensor hidden,
        Tensor weight,
        Tensor labels,
        Tensor? bias = null,
        TokenReference? reference = null,
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        Tensor? tokenWeights = null,
        Func<TokenStatistics, Tensor>? weighting = null,
        VocabularyShard? shard = null,
        LinearLossOptions? options = null) => LinearComputation.Loss(LinearArguments.Check(
        hidden, weight, labels, bias, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard, options));

    /// <summary><c>linear_asft_loss</c>, with the results of each token, which the same pass computes.</summary>
    /// <param name="hidden">As for <c>linear_asft_loss</c>.</param>
    /// <param name="weight">As for <c>linear_asft_loss</c>.</param>
    /// <param name="labels">As for <c>linear_asft_loss</c>.</param>
    /// <param name="bias">As for <c>linear_asft_loss</c>.</param>
    /// <param name="reference">
    /// As for <c>linear_asft_loss</c>, but used also if the objective does not need it:
    /// <see cref="AsftLossResult.TokenKl"/> is computed whenever what is given tells it.
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
        Tensor weight,
        Tensor labels,
        Tensor? bias = null,
        TokenReference? reference = null,
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        Tensor? tokenWeights = null,
        Func<TokenStatistics, Tensor>? weighting = null,
        VocabularyShard? shard = null,
        LinearLossOptions? options = null) => LinearComputation.LossWithMetrics(LinearArguments.Check(
        hidden, weight, labels, bias, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard, options));
}
