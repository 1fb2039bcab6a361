using Asft.Kernels;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// <c>AsftFunctional.linear_asft_loss</c> as a module: <c>call(hidden, weight, labels)</c> for an objective that needs no reference and a head
/// without a bias, and overloads that take the rest, or a head that is a module, which no bias is forgotten of. It has no parameters: the head
/// stays the model's.
/// </summary>
/// <param name="objective">The objective; null for <c>LossObjective.Asft()</c>.</param>
/// <param name="reduction">How token losses become the loss.</param>
/// <param name="shiftLabels">Scores position t against label t+1.</param>
/// <param name="weighting">A function that weighs the tokens in the objective's place; null for none.</param>
/// <param name="shard">The rows of the whole head that are given, where other ranks have the others; null where they are all.</param>
/// <param name="options">The memory to spend; null for the default.</param>
public sealed class LinearAsftLoss(
    LossObjective? objective = null,
    Reduction reduction = Reduction.Mean,
    bool shiftLabels = false,
    Func<TokenStatistics, Tensor>? weighting = null,
    VocabularyShard? shard = null,
    LinearLossOptions? options = null)
    : Module<Tensor, Tensor, Tensor, Tensor>(nameof(LinearAsftLoss))
{
    /// <summary>The objective.</summary>
    public LossObjective Objective { get; } = objective ?? LossObjective.Asft();

    /// <summary>How token losses become the loss.</summary>
    public Reduction Reduction { get; } = reduction;

    /// <summary>Whether position t is scored against label t+1.</summary>
    public bool ShiftLabels { get; } = shiftLabels;

    /// <summary>The function that weighs the tokens; null where the objective does.</summary>
    public Func<TokenStatistics, Tensor>? Weighting { get; } = weighting;

    /// <summary>The rows of the whole head that are given; null where they are all.</summary>
    public VocabularyShard? Shard { get; } = shard;

    /// <summary>The memory to spend.</summary>
    public LinearLossOptions Options { get; } = options ?? new LinearLossOptions();

    /// <summary>Computes the loss of an objective that needs no reference; exceptions are those of <c>AsftFunctional.linear_asft_loss</c>.</summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="weight">Weight of the head, <c>[V, d]</c>; the head has no bias.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <returns>The loss.</returns>
    public override Tensor forward(Tensor hidden, Tensor weight, Tensor labels) => call(hidden, weight, labels, bias: null);

    /// <summary>
    /// Computes the loss; parameters, result and exceptions are those of <c>AsftFunctional.linear_asft_loss</c>. Hooks take part only in the call
    /// with three tensors.
    /// </summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="weight">Weight of the head, <c>[V, d]</c>.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="bias">Bias of the head, <c>[V]</c>, or null.</param>
    /// <param name="reference">What the policy is anchored to, or null if the objective needs none.</param>
    /// <param name="tokenCount">The number of tokens that a mean is over, where that is not the number in the labels; null where it is.</param>
    /// <param name="tokenWeights">A factor of each token's loss; null for 1.</param>
    /// <returns>The loss.</returns>
    public Tensor call(
        Tensor hidden,
        Tensor weight,
        Tensor labels,
        Tensor? bias,
        TokenReference? reference = null,
        Tensor? tokenCount = null,
        Tensor? tokenWeights = null) => AsftFunctional.linear_asft_loss(
        hidden, weight, labels, bias, reference, Objective, Reduction, tokenCount, ShiftLabels, tokenWeights, Weighting, Shard, Options);

    /// <summary>The same, for a head that is a module: its weight and, if it has one, its bias.</summary>
    /// <param name="hidden">Hidden states <c>[..., d]</c>.</param>
    /// <param name="head">The head, from d to V.</param>
    /// <param name="labels">Labels <c>[...]</c>.</param>
    /// <param name="reference">What the policy is anchored to, or null if the objective needs none.</param>
    /// <param name="tokenCount">The number of tokens that a mean is over, where that is not the number in the labels; null where it is.</param>
    /// <param name="tokenWeights">A factor of each token's loss; null for 1.</param>
    /// <returns>The loss.</returns>
    public Tensor call(
        Tensor hidden, Linear head, Tensor labels, TokenReference? reference = null, Tensor? tokenCount = null, Tensor? tokenWeights = null) =>
        AsftFunctional.linear_asft_loss(
            hidden, head, labels, reference, Objective, Reduction, tokenCount, ShiftLabels, tokenWeights, Weighting, Shard, Options);
}
