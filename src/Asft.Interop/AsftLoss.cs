using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// <see cref="AsftFunctional.asft_loss"/> as a module, for trainers that keep their loss as one: <c>call(logits, labels, referenceLogits)</c>.
/// It has no parameters.
/// </summary>
/// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>.</param>
/// <param name="reduction">How token losses become the loss.</param>
/// <param name="shiftLabels">Scores position t against label t+1.</param>
/// <param name="inPlace">
/// The gradient overwrites the memory of the logits: what reads them afterwards reads gradients, and is not told. Where the logits serve for
/// more than the loss, call <see cref="AsftFunctional.asft_loss_with_metrics"/> and ask its result.
/// </param>
public sealed class AsftLoss(
    LossObjective? objective = null, Reduction reduction = Reduction.Mean, bool shiftLabels = false, bool inPlace = false)
    : Module<Tensor, Tensor, Tensor?, Tensor>(nameof(AsftLoss))
{
    /// <summary>The objective.</summary>
    public LossObjective Objective { get; } = objective ?? LossObjective.Asft();

    /// <summary>How token losses become the loss.</summary>
    public Reduction Reduction { get; } = reduction;

    /// <summary>Whether position t is scored against label t+1.</summary>
    public bool ShiftLabels { get; } = shiftLabels;

    /// <summary>Whether the gradient overwrites the memory of the logits.</summary>
    public bool InPlace { get; } = inPlace;

    /// <summary>Computes the loss; parameters, result and exceptions are those of <see cref="AsftFunctional.asft_loss"/>.</summary>
    /// <param name="logits">Policy logits <c>[..., V]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="referenceLogits">Reference logits <c>[..., V]</c>, or null if the objective needs none.</param>
    /// <returns>The loss.</returns>
    public override Tensor forward(Tensor logits, Tensor labels, Tensor? referenceLogits) => AsftFunctional.asft_loss(
        logits, labels, referenceLogits, Objective, Reduction, tokenCount: null, ShiftLabels, InPlace);
}
