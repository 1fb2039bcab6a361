using Asft.Kernels;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// <c>AsftFunctional.linear_asft_loss</c> as a module:
/// <c>call(hidden, weight, labels, bias, referenceHidden, referenceWeight)</c>, or <c>forward(hidden, head, labels, referenceHidden,
/// referenceHead)</c> for heads that are modules, which no bias is forgotten of. It has no parameters: the head stays the model's.
/// </summary>
/// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>.</param>
/// <param name="reduction">How token losses become the loss.</param>
/// <param name="shiftLabels">Scores position t against label t+1.</param>
/// <param name="options">The memory to spend; null for the default.</param>
public sealed class LinearAsftLoss(
    LossObjective? objective = null, Reduction reduction = Reduction.Mean, bool shiftLabels = false, LinearLossOptions? options = null)
    : Module<Tensor, Tensor, Tensor, Tensor?, Tensor?, Tensor?, Tensor>(nameof(LinearAsftLoss))
{
    /// <summary>The objective.</summary>
    public LossObjective Objective { get; } = objective ?? LossObjective.Asft();

    /// <summary>How token losses become the loss.</summary>
    public Reduction Reduction { get; } = reduction;

    /// <summary>Whether position t is scored against label t+1.</summary>
    public bool ShiftLabels { get; } = shiftLabels;

    /// <summary>The memory to spend.</summary>
    public LinearLossOptions Options { get; } = options ?? new LinearLossOptions();

    /// <summary>
    /// Computes the loss; parameters, result and exceptions are those of <c>AsftFunctional.linear_asft_loss</c>.
    /// </summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="weight">Weight of the head, <c>[V, d]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="bias">Bias of the head, <c>[V]</c>, or null.</param>
    /// <param name="referenceHidden">Hidden states of the reference, or null if the objective needs none.</param>
    /// <param name="referenceWeight">Weight of the reference's head, which has no bias; null for the policy's head.</param>
    /// <returns>The loss.</returns>
    public override Tensor forward(
        Tensor hidden, Tensor weight, Tensor labels, Tensor? bias, Tensor? referenceHidden, Tensor? referenceWeight) =>
        forward(hidden, weight, labels, bias, referenceHidden, referenceWeight, referenceBias: null);

    /// <summary>The same, for a reference whose head has a bias.</summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="weight">Weight of the head, <c>[V, d]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="bias">Bias of the head, <c>[V]</c>, or null.</param>
    /// <param name="referenceHidden">Hidden states of the reference, or null if the objective needs none.</param>
    /// <param name="referenceWeight">Weight of the reference's head; null for the policy's head.</param>
    /// <param name="referenceBias">Bias of the reference's head, or null.</param>
    /// <param name="tokenCount">The number of tokens that a mean is over, where that is not the number in the labels; null where it is.</param>
    /// <returns>The loss.</returns>
    public Tensor forward(
        Tensor hidden,
        Tensor weight,
        Tensor labels,
        Tensor? bias,
        Tensor? referenceHidden,
        Tensor? referenceWeight,
        Tensor? referenceBias,
        Tensor? tokenCount = null) => AsftFunctional.linear_asft_loss(
        hidden, weight, labels, bias, referenceHidden, referenceWeight, referenceBias, Objective, Reduction, tokenCount, ShiftLabels, Options);

    /// <summary>The same, for heads that are modules: each with its weight and, if it has one, its bias.</summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="head">The head, from d to V.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="referenceHidden">Hidden states of the reference, or null if the objective needs none.</param>
    /// <param name="referenceHead">Head of the reference; null for the policy's head.</param>
    /// <param name="tokenCount">The number of tokens that a mean is over, where that is not the number in the labels; null where it is.</param>
    /// <returns>The loss.</returns>
    public Tensor forward(
        Tensor hidden, Linear head, Tensor labels, Tensor? referenceHidden = null, Linear? referenceHead = null, Tensor? tokenCount = null) =>
        AsftFunctional.linear_asft_loss(
            hidden, head, labels, referenceHidden, referenceHead, Objective, Reduction, tokenCount, ShiftLabels, Options);
}
