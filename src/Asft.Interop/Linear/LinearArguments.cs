using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// The arguments of a linear loss, checked: everything that can be wrong with them short of the labels' values is found here.
/// </summary>
internal sealed record LinearArguments(
    LinearInputs Inputs,
    Tensor Labels,
    LossObjective Objective,
    Reduction Reduction,
    Tensor? TokenCount,
    bool ShiftLabels,
    LinearLossOptions Options)
{
    /// <summary>The same with tensors whose memory holds what they stand for; see <see cref="TensorMemory.Resolved"/>.</summary>
    public LinearArguments Resolved() => this with
    {
        Inputs = Inputs.Resolved(),
        TokenCount = TokenCount is null ? null : TensorMemory.Resolved(TokenCount),
    };

    /// <summary>Checks the arguments of <c>AsftFunctional.linear_asft_loss</c>; parameters are named as there.</summary>
    public static LinearArguments Check(
        Tensor hidden,
        Tensor weight,
        Tensor labels,
        Tensor? bias,
        Tensor? referenceHidden,
        Tensor? referenceWeight,
        Tensor? referenceBias,
        LossObjective? objective,
        Reduction reduction,
        Tensor? tokenCount,
        bool shiftLabels,
        LinearLossOptions? options)
    {
        objective ??= LossObjective.Asft();
        CheckHidden(hidden, nameof(hidden));
        CheckWeight(weight, nameof(weight), hidden, nameof(hidden));
        CheckSameType(weight, nameof(weight), hidden);
        LossArguments.CheckLabels(labels, hidden, shiftLabels, nameof(hidden));
        if (bias is not null)
        {
            CheckBias(bias, nameof(bias), weight, nameof(weight));
            CheckSameType(bias, nameof(bias), hidden);
        }

        CheckReference(hidden, weight, referenceHidden, referenceWeight, referenceBias, objective);
        objective.CheckFits(TensorMemory.TypeOf(hidden) ?? ElementType.Float32);
        LossArguments.CheckReduction(reduction);
        LossArguments.CheckTokenCount(tokenCount);
        return new LinearArguments(
            new LinearInputs(hidden, weight, bias, referenceHidden, referenceWeight, referenceBias),
            labels,
            objective,
            reduction,
            tokenCount,
            shiftLabels,
            options ?? new LinearLossOptions());
    }

    private static void CheckReference(
        Tensor hidden, Tensor weight, Tensor? referenceHidden, Tensor? referenceWeight, Tensor? referenceBias, LossObjective objective)
    {
        if (referenceHidden is null)
        {
            CheckAbsent(referenceHidden, referenceWeight, referenceBias, objective);
            return;
        }

        CheckHidden(referenceHidden, nameof(referenceHidden));
        LossArguments.CheckSameDevice(referenceHidden, hidden, nameof(referenceHidden), nameof(hidden));
        if (!referenceHidden.shape.AsSpan(..^1).SequenceEqual(hidden.shape.AsSpan(..^1)))
        {
            throw new ArgumentException(
                $"referenceHidden must have the shape of hidden up to the last dimension; got referenceHidden {TensorMemory.Format(referenceHidden.shape)} "
                + $"for hidden {TensorMemory.Format(hidden.shape)}.",
                nameof(referenceHidden));
        }

        if (referenceWeight is null)
        {
            if (referenceBias is not null)
            {
                throw new ArgumentException(
                    "referenceBias needs a referenceWeight: without one, the reference's head is the policy's, with the policy's bias.", nameof(referenceBias));
            }

            if (referenceHidden.size(-1) != hidden.size(-1))
            {
                throw new ArgumentException(
                    Invariant($"referenceHidden must have the hidden size of weight, {weight.size(1)}, where no referenceWeight is given; ")
                    + $"got {TensorMemory.Format(referenceHidden.shape)}.",
                    nameof(referenceHidden));
            }

            return;
        }

        CheckWeight(referenceWeight, nameof(referenceWeight), referenceHidden, nameof(referenceHidden));
        if (referenceWeight.size(0) != weight.size(0))
        {
            throw new ArgumentException(
                Invariant($"referenceWeight must have the vocabulary of weight, {weight.size(0)} rows; ")
                + $"got {TensorMemory.Format(referenceWeight.shape)}.",
                nameof(referenceWeight));
        }

        if (referenceBias is not null)
        {
            CheckBias(referenceBias, nameof(referenceBias), referenceWeight, nameof(referenceWeight));
        }
    }

    /// <summary>Without reference hidden states there is no reference, and there must be no need for one.</summary>
    private static void CheckAbsent(Tensor? referenceHidden, Tensor? referenceWeight, Tensor? referenceBias, LossObjective objective)
    {
        if (objective.NeedsReference)
        {
            throw LossArguments.MissingReference(objective, nameof(referenceHidden));
        }

        if (referenceWeight is not null || referenceBias is not null)
        {
            string name = referenceWeight is not null ? nameof(referenceWeight) : nameof(referenceBias);
            throw new ArgumentException($"{name} means nothing without referenceHidden; got null for that.", name);
        }
    }

    private static void CheckHidden(Tensor hidden, string name)
    {
        CheckFloating(hidden, name);
        if (hidden.dim() == 0 || hidden.size(-1) == 0)
        {
            throw new ArgumentException($"{name} must have the shape [..., d] with d at least 1; got {TensorMemory.Describe(hidden)}.", name);
        }
    }

    private static void CheckWeight(Tensor weight, string name, Tensor hidden, string hiddenName)
    {
        CheckFloating(weight, name);
        LossArguments.CheckSameDevice(weight, hidden, name, hiddenName);
        if (weight.dim() != 2 || weight.size(0) == 0)
        {
            throw new ArgumentException($"{name} must have the shape [V, d] with V at least 1; got {TensorMemory.Describe(weight)}.", name);
        }

        if (weight.size(1) != hidden.size(-1))
        {
            throw new ArgumentException(
                Invariant($"{name} must have as many columns as {hiddenName} has features, {hidden.size(-1)}; ")
                + $"got {name} {TensorMemory.Format(weight.shape)} for {hiddenName} {TensorMemory.Format(hidden.shape)}.",
                name);
        }
    }

    private static void CheckBias(Tensor bias, string name, Tensor weight, string weightName)
    {
        CheckFloating(bias, name);
        LossArguments.CheckSameDevice(bias, weight, name, weightName);
        if (bias.dim() != 1 || bias.size(0) != weight.size(0))
        {
            throw new ArgumentException(
                Invariant($"{name} must have the shape [V], one element for each of the {weight.size(0)} rows of {weightName}; ")
                + $"got {TensorMemory.Describe(bias)}.",
                name);
        }
    }

    private static void CheckSameType(Tensor tensor, string name, Tensor hidden)
    {
        if (tensor.dtype != hidden.dtype)
        {
            throw new ArgumentException($"{name} must have the dtype of hidden, {hidden.dtype}; got {TensorMemory.Describe(tensor)}.", name);
        }
    }

    private static void CheckFloating(Tensor tensor, string name)
    {
        LossArguments.CheckUsable(tensor, name);
        if (TensorMemory.TypeOf(tensor) is null || tensor.is_sparse)
        {
            throw new ArgumentException(
                $"{name} must be a dense tensor of float32, bfloat16, float16 or float64; got {TensorMemory.Describe(tensor)}.", name);
        }
    }
}
