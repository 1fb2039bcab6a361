using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>The loss functions, to be called where <c>torch.nn.functional.cross_entropy</c> stood.</summary>
public static partial class AsftFunctional
{
    /// <summary>
    /// The loss of an <see cref="LossObjective"/> - SFT, DFT, SFT+KL, ASFT or importance-weighted SFT - from logits, in one fused pass,
    /// and its exact gradient with respect to <paramref name="logits"/>.
    /// </summary>
    /// <param name="logits">
    /// Policy logits <c>[..., V]</c>: float32, bfloat16, float16 or float64. Any strides; only if the last dimension is not
    /// contiguous is a copy made.
    /// </param>
    /// <param name="labels">Labels <c>[...]</c>, int64 or int32, each in <c>[0, V)</c> or <see cref="LossObjective.IgnoreIndex"/>.</param>
    /// <param name="reference">
    /// What the policy is anchored to: reference logits of the shape of <paramref name="logits"/> and any of its dtypes, which a tensor here is
    /// taken for, or another <see cref="TokenReference"/>. A constant, even if it requires grad. May be null if the objective needs none, and is
    /// not read then.
    /// </param>
    /// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>, which needs a <paramref name="reference"/>.</param>
    /// <param name="reduction">
    /// <c>Mean</c> divides the sum of the token losses by the number of labels that are not ignored, or by <paramref name="tokenCount"/>.
    /// If there are no such labels, the loss is 0 and so is the gradient.
    /// </param>
    /// <param name="tokenCount">
    /// One element, an integer or real number above 0: the number of tokens that a mean is over, where that is not the number in
    /// <paramref name="labels"/>, as in gradient accumulation or data-parallel training. Other reductions do not use it. One that
    /// is on a CUDA device is not read to the host: if it is not above 0, the loss becomes NaN.
    /// </param>
    /// <param name="shiftLabels">
    /// Scores position t against label t+1, along the last dimension of <paramref name="labels"/>; the last position counts for
    /// nothing, and the first label is not read. The logits are not copied.
    /// </param>
    /// <param name="inPlace">
    /// The gradient overwrites the memory of <paramref name="logits"/>, so that no second tensor of their size exists: during this call
    /// for <c>Mean</c> and <c>Sum</c>, during the backward pass for <c>None</c> and for float16. Logits that share memory among
    /// themselves (expanded ones) or whose last dimension is not contiguous are left alone, and so are all logits when no gradient is wanted.
    /// A leaf that requires grad, or a view of one, is refused, as by torch's own in-place operations. Two losses on different
    /// rows of one tensor may both be in place. Let the rows be views by <c>narrow</c>, <c>select</c> or an index: writing to one of those that
    /// <c>chunk</c>, <c>split</c> or <c>unbind</c> return together is an error of torch's own.
    /// <para>
    /// What is told: a backward pass of another operation that needs the logits as they were raises an error; so does the loss's own if
    /// anything but a loss on other rows has written to the logits; and another of these losses on the overwritten logits, or with them as
    /// its reference, throws as long as the tensor given here is not disposed. What is not told: any other operation that reads the logits
    /// after they are overwritten gets the gradient instead, be it an accuracy by <c>argmax</c>, an entropy, or a copy for a log. Read
    /// them before this call, or take what is wanted from <see cref="asft_loss_with_metrics"/>.
    /// </para>
    /// </param>
    /// <param name="tokenWeights">
    /// A factor u of each token's loss, <c>[...]</c> as <paramref name="labels"/>, any floating dtype and sign: a mask, an example's weight, an
    /// advantage. A constant for differentiation. The logits of a token whose weight is 0 are not read, but it counts in a mean; for the mean
    /// over the weights, give their sum as <paramref name="tokenCount"/>. With <paramref name="shiftLabels"/>, weights are shifted like the
    /// labels: each is that of the label at its place. Null for 1.
    /// </param>
    /// <param name="weighting">
    /// A function from the statistics of the tokens to the weight w of each one's negative log-likelihood, <c>[...]</c> as
    /// <paramref name="labels"/>, where the objective's own <see cref="LossObjective.Weighting"/> is not the one that is wanted; its bounds apply.
    /// Called once, with autograd off, between the two passes over the logits that this makes of one. Null for the objective's.
    /// </param>
    /// <param name="shard">
    /// Where the logits, and reference logits, are those of some columns of the vocabulary, and other ranks have the others: which, of how many, and
    /// the ranks. Labels and a <see cref="TokenReference"/> of another kind speak of the whole vocabulary. Every rank calls this with the same tokens
    /// and arguments, and gets the same loss, and the gradient of its own logits. Null where the logits are all there are.
    /// </param>
    /// <returns>
    /// The loss: a scalar, or for <c>Reduction.None</c> a tensor of the shape of <paramref name="labels"/>; float32, or float64 for
    /// float64 logits. Under <c>no_grad</c>, or for logits that do not require grad, no gradient is computed.
    /// </returns>
    /// <remarks>
    /// <para>
    /// With z the scaled and capped logits, p = softmax(z), q the same of the reference, y the label:
    /// token loss = <c>u*(NllWeight*w*nll + KlWeight*kl + ZLossWeight*lse²)</c>; see <see cref="LossObjective"/> for the terms and their sources.
    /// </para>
    /// <para>
    /// The graph keeps the logits and the reference logits (not copies of them) until a backward pass that does not retain it, for one with an
    /// upstream gradient that bfloat16 could not be multiplied by without a second rounding, for a second backward
    /// (<c>retain_graph: true</c>), and for double differentiation (<c>create_graph: true</c>; a slow path of ordinary torch operations, for which
    /// the weight w is a constant). With <paramref name="inPlace"/> and an effect during this call it keeps neither, and none of the three is
    /// there: the bfloat16 gradient is then rounded twice if the upstream gradient is no power of two, and the other two are errors.
    /// </para>
    /// <para>
    /// Tensors on a CUDA device are never read to the host, neither here nor in the backward pass: all work is enqueued on torch's stream, and
    /// nothing waits for it. So a label out of range cannot be thrown when it is found. Its row becomes NaN, loss and gradient, and the exception
    /// comes from the first later call of a loss function that finds the device to have got so far, or from
    /// <see cref="AsftLossResult.TokenCount"/>, which waits; its message counts labels row after row. For bfloat16 without
    /// <paramref name="inPlace"/>, whether the backward pass has to compute the gradient anew is decided on the device, so the logits must
    /// be unchanged then in any case.
    /// </para>
    /// <para>
    /// An error in a backward pass reaches the caller of <c>loss.backward()</c> as the engine's message about an "invalid gradient"; what
    /// really happened is <see cref="AsftRuntime.LastBackwardError"/>, and its message is written to <see cref="Console.Error"/>. From <c>torch.autograd.grad</c>, TorchSharp lets no native error
    /// return: any one ends the process.
    /// </para>
    /// </remarks>
    /// <exception cref="ArgumentNullException">An argument is null that must not be; for the objective's sake, it may be <paramref name="reference"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">
    /// A label is neither in <c>[0, V)</c> nor the ignore index: the message gives the place and value of the first. Or
    /// <paramref name="tokenCount"/> is not above 0. Nothing was written. For a CUDA device, see the remarks.
    /// </exception>
    /// <exception cref="ArgumentException">
    /// An argument has the wrong shape, dtype or device, or <paramref name="inPlace"/> would overwrite a leaf that requires grad, or a view of one. Or
    /// what <paramref name="reference"/> holds is no distribution, or not what the objective needs of it, or <paramref name="weighting"/> returned
    /// something else than weights.
    /// </exception>
    /// <exception cref="InvalidOperationException">
    /// The logits or the reference hold the gradient of an earlier loss with <paramref name="inPlace"/>. Or the ranks of a <paramref name="shard"/>
    /// call this with different tokens, dtypes or objectives, or their columns are not the vocabulary: every rank throws then.
    /// </exception>
    /// <exception cref="OutOfMemoryException">There is no memory to work in. With <paramref name="inPlace"/>, logits may be overwritten already.</exception>
    /// <exception cref="NotSupportedException">The logits are on a device that there is no kernel for.</exception>
    /// <exception cref="Kernels.Cuda.CudaException">The CUDA driver refuses the kernels, for example because it is too old for them.</exception>
    public static Tensor asft_loss(
        Tensor logits,
        Tensor labels,
        TokenReference? reference = null,
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        bool inPlace = false,
        Tensor? tokenWeights = null,
        Func<TokenStatistics, Tensor>? weighting = null,
        VocabularyShard? shard = null)
    {
        LossArguments arguments = LossArguments.Check(
            logits, labels, reference, objective, reduction, tokenCount, shiftLabels, inPlace, tokenWeights, weighting, shard);
        return LossComputation.Run(arguments, metrics: false).Loss;
    }

    /// <summary>
    /// <see cref="asft_loss"/>, with the results of each token: what there is to watch in training, as the same
    /// pass computes it.
    /// </summary>
    /// <param name="logits">As for <see cref="asft_loss"/>.</param>
    /// <param name="labels">As for <see cref="asft_loss"/>.</param>
    /// <param name="reference">
    /// As for <see cref="asft_loss"/>, but read also if the objective does not need it, so that the drift from the
    /// reference can be watched: <see cref="AsftLossResult.TokenKl"/> is computed whenever what is given tells it.
    /// </param>
    /// <param name="objective">As for <see cref="asft_loss"/>.</param>
    /// <param name="reduction">As for <see cref="asft_loss"/>.</param>
    /// <param name="tokenCount">As for <see cref="asft_loss"/>.</param>
    /// <param name="shiftLabels">As for <see cref="asft_loss"/>.</param>
    /// <param name="inPlace">As for <see cref="asft_loss"/>.</param>
    /// <param name="tokenWeights">As for <see cref="asft_loss"/>.</param>
    /// <param name="weighting">As for <see cref="asft_loss"/>.</param>
    /// <param name="shard">As for <see cref="asft_loss"/>.</param>
    /// <returns>The loss and the metrics. They are tensors of the current dispose scope; outside of one, dispose the result.</returns>
    /// <exception cref="ArgumentNullException">As for <see cref="asft_loss"/>.</exception>
    /// <exception cref="ArgumentOutOfRangeException">As for <see cref="asft_loss"/>.</exception>
    /// <exception cref="ArgumentException">As for <see cref="asft_loss"/>.</exception>
    /// <exception cref="InvalidOperationException">As for <see cref="asft_loss"/>.</exception>
    /// <exception cref="OutOfMemoryException">As for <see cref="asft_loss"/>.</exception>
    /// <exception cref="NotSupportedException">As for <see cref="asft_loss"/>.</exception>
    /// <exception cref="Kernels.Cuda.CudaException">As for <see cref="asft_loss"/>.</exception>
    public static AsftLossResult asft_loss_with_metrics(
        Tensor logits,
        Tensor labels,
        TokenReference? reference = null,
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        bool inPlace = false,
        Tensor? tokenWeights = null,
        Func<TokenStatistics, Tensor>? weighting = null,
        VocabularyShard? shard = null)
    {
        LossArguments arguments = LossArguments.Check(
            logits, labels, reference, objective, reduction, tokenCount, shiftLabels, inPlace, tokenWeights, weighting, shard);
        (Tensor loss, TokenTensors? tokens, TokenCount count) = LossComputation.Run(arguments, metrics: true);
        return new AsftLossResult(
            loss, tokens!.Loss!, tokens.LogProbability!, tokens.Weight!, tokens.Kl!, tokens.LogSumExp!, tokens.Entropy!, tokens.Predicted!, count);
    }
}
