using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// <see cref="AsftFunctional.asft_loss"/> as a module, which stands where a trainer has torch's <c>CrossEntropyLoss</c>: both are a
/// <c>Loss&lt;Tensor, Tensor, Tensor&gt;</c> with <c>call(logits, labels)</c>. An objective that needs a reference takes it as a third argument.
/// The module has no parameters.
/// </summary>
/// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>, which needs a reference. <c>LossObjective.Sft</c> is cross-entropy.</param>
/// <param name="reduction">How token losses become the loss.</param>
/// <param name="shiftLabels">Scores position t against label t+1; not for data sets whose labels are shifted already.</param>
/// <param name="inPlace">
/// The gradient overwrites the memory of the logits: what reads them afterwards reads gradients, and is not told. Where the logits serve for
/// more than the loss, use <see cref="AsftLossWithMetrics"/> and ask its result.
/// </param>
/// <param name="weighting">A function that weighs the tokens in the objective's place; null for none.</param>
/// <param name="shard">The columns of the vocabulary that the logits are, where other ranks have the others; null where they are all.</param>
public sealed class AsftLoss(
    LossObjective? objective = null, Reduction reduction = Reduction.Mean, bool shiftLabels = false, bool inPlace = false,
    Func<TokenStatistics, Tensor>? weighting = null, VocabularyShard? shard = null)
    : Loss<Tensor, Tensor, Tensor>(reduction)
{
    /// <summary>The objective.</summary>
    public LossObjective Objective { get; } = objective ?? LossObjective.Asft();

    /// <summary>Whether position t is scored against label t+1.</summary>
    public bool ShiftLabels { get; } = shiftLabels;

    /// <summary>Whether the gradient overwrites the memory of the logits.</summary>
    public bool InPlace { get; } = inPlace;

    /// <summary>The function that weighs the tokens; null where the objective does.</summary>
    public Func<TokenStatistics, Tensor>? Weighting { get; } = weighting;

    /// <summary>The columns of the vocabulary that the logits are; null where they are all.</summary>
    public VocabularyShard? Shard { get; } = shard;

    /// <summary>Computes the loss of an objective that needs no reference; exceptions are those of <see cref="AsftFunctional.asft_loss"/>.</summary>
    /// <param name="logits">Policy logits <c>[..., V]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <returns>The loss.</returns>
    public override Tensor forward(Tensor logits, Tensor labels) => call(logits, labels, reference: null);

    /// <summary>
    /// Computes the loss; parameters, result and exceptions are those of <see cref="AsftFunctional.asft_loss"/>. Hooks take part only in the call
    /// with two arguments, as a hook of a <c>Loss</c> is given no more.
    /// </summary>
    /// <param name="logits">Policy logits <c>[..., V]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="reference">What the policy is anchored to, reference logits <c>[..., V]</c> for one; null if the objective needs none.</param>
    /// <param name="tokenCount">The number of tokens that a mean is over, where that is not the number in the labels; null where it is.</param>
    /// <param name="tokenWeights">A factor of each token's loss; null for 1.</param>
    /// <returns>The loss.</returns>
    public Tensor call(Tensor logits, Tensor labels, TokenReference? reference, Tensor? tokenCount = null, Tensor? tokenWeights = null) => AsftFunctional.asft_loss(
        logits, labels, reference, Objective, reduction, tokenCount, ShiftLabels, InPlace, tokenWeights, Weighting, Shard);
}
