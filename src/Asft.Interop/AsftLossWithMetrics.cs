using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// <see cref="AsftFunctional.asft_loss_with_metrics"/> as a module, as <see cref="AsftLoss"/> is one: the loss, and what is worth watching about
/// each token. It has no parameters.
/// </summary>
/// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>, which needs a reference. <c>LossObjective.Sft</c> is cross-entropy.</param>
/// <param name="reduction">How token losses become the loss.</param>
/// <param name="shiftLabels">Scores position t against label t+1; not for data sets whose labels are shifted already.</param>
/// <param name="inPlace">The gradient overwrites the memory of the logits; ask the result for what would have been read from them.</param>
public sealed class AsftLossWithMetrics(
    LossObjective? objective = null, Reduction reduction = Reduction.Mean, bool shiftLabels = false, bool inPlace = false)
    : Loss<Tensor, Tensor, AsftLossResult>(reduction)
{
    /// <summary>The objective.</summary>
    public LossObjective Objective { get; } = objective ?? LossObjective.Asft();

    /// <summary>Whether position t is scored against label t+1.</summary>
    public bool ShiftLabels { get; } = shiftLabels;

    /// <summary>Whether the gradient overwrites the memory of the logits.</summary>
    public bool InPlace { get; } = inPlace;

    /// <summary>Computes the loss and the metrics without a reference; exceptions are those of <see cref="AsftFunctional.asft_loss_with_metrics"/>.</summary>
    /// <param name="logits">Policy logits <c>[..., V]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <returns>The loss and the metrics, to be disposed.</returns>
    public override AsftLossResult forward(Tensor logits, Tensor labels) => call(logits, labels, referenceLogits: null);

    /// <summary>
    /// Computes the loss and the metrics; parameters, result and exceptions are those of <see cref="AsftFunctional.asft_loss_with_metrics"/>. Hooks
    /// take part only in the call with two arguments.
    /// </summary>
    /// <param name="logits">Policy logits <c>[..., V]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="referenceLogits">Reference logits <c>[..., V]</c>; given to an objective that needs none, they serve for the KL alone.</param>
    /// <param name="tokenCount">The number of tokens that a mean is over, where that is not the number in the labels; null where it is.</param>
    /// <returns>The loss and the metrics, to be disposed.</returns>
    public AsftLossResult call(Tensor logits, Tensor labels, Tensor? referenceLogits, Tensor? tokenCount = null) =>
        AsftFunctional.asft_loss_with_metrics(
            logits, labels, referenceLogits, Objective, reduction, tokenCount, ShiftLabels, InPlace);
}
