using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// The arguments of a linear loss, checked: everything that can be wrong with them short of values in tensors is found here.
/// </summary>
internal sealed record LinearArguments(LinearInputs Inputs, LinearLossOptions Options, TokenArguments Tokens)
{
    /// <summary>Vocabulary size V, of which the head may be a shard.</summary>
    public long Vocabulary => Tokens.Shard?.Vocabulary ?? Inputs.Vocabulary;

    /// <summary>The same with tensors whose memory holds what they stand for; see <see cref="TensorMemory.Resolved"/>.</summary>
    public LinearArguments Resolved() => this with { Inputs = Inputs.Resolved(), Tokens = Tokens.Resolved() };

    /// <summary>Checks the arguments of <c>AsftFunctional.linear_asft_loss</c>; parameters are named as there.</summary>
    public static LinearArguments Check(
        Tensor hidden,
        Tensor weight,
        Tensor labels,
        Tensor? bias,
        TokenReference? reference,
        LossObjective? objective,
        Reduction reduction,
        Tensor? tokenCount,
        bool shiftLabels,
        Tensor? tokenWeights,
        Func<TokenStatistics, Tensor>? weighting,
        VocabularyShard? shard,
        LinearLossOptions? options)
    {
        CheckHidden(hidden, nameof(hidden));
        CheckWeight(weight, nameof(weight), hidden, nameof(hidden));
        CheckSameType(weight, nameof(weight), hidden);
        if (bias is not null)
        {
            CheckBias(bias, nameof(bias), weight, nameof(weight));
            CheckSameType(bias, nameof(bias), hidden);
        }

        var tokens = TokenArguments.Check(
            hidden, nameof(hidden), labels, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard);
        TokenArguments.CheckShard(shard, weight, nameof(weight), weight.size(0));
        HiddenReference? referenceHidden = reference switch
        {
            TensorReference given => new HiddenReference(given.Values, null, null),
            HiddenReference given => given,
            LogitsReference => throw new ArgumentException(
                "reference is logits, beside hidden states: give it the reference's hidden states, or use asft_loss.", nameof(reference)),
            _ => null,
        };
        if (referenceHidden is not null)
        {
            CheckReference(hidden, weight, referenceHidden, nameof(reference));
        }

        return new LinearArguments(
            new LinearInputs(hidden, weight, bias, referenceHidden?.Values, referenceHidden?.Weight, referenceHidden?.Bias),
            options ?? new LinearLossOptions(),
            tokens);
    }

    /// <summary>Checks a reference. Its tensors are named after the argument that they are parts of.</summary>
    private static void CheckReference(Tensor hidden, Tensor weight, HiddenReference reference, string name)
    {
        (Tensor referenceHidden, Tensor? referenceWeight, Tensor? referenceBias) = reference;
        CheckHidden(referenceHidden, name);
        TokenArguments.CheckSameDevice(referenceHidden, hidden, name, nameof(hidden));
        if (!referenceHidden.shape.AsSpan(..^1).SequenceEqual(hidden.shape.AsSpan(..^1)))
        {
            throw new ArgumentException(
                $"{name} must have the shape of hidden up to the last dimension; got {TensorMemory.Format(referenceHidden.shape)} "
                + $"for hidden {TensorMemory.Format(hidden.shape)}.",
                name);
        }

        if (referenceWeight is null)
        {
            if (referenceHidden.size(-1) != hidden.size(-1))
            {
                throw new ArgumentException(
                    Invariant($"{name} must have the hidden size of weight, {weight.size(1)}, where it has no head of its own; ")
                    + $"got {TensorMemory.Format(referenceHidden.shape)}.",
                    name);
            }

            return;
        }

        string weightName = name + ".weight";
        CheckWeight(referenceWeight, weightName, referenceHidden, name, name);
        if (referenceWeight.size(0) != weight.size(0))
        {
            string padded = referenceWeight.size(0) < weight.size(0) ? string.Empty
                : Invariant($" If its vocabulary is padded, give the part that is not: narrow(0, 0, {weight.size(0)}) of it, which copies nothing.");
            throw new ArgumentException(
                Invariant($"{weightName} must have the vocabulary of weight, {weight.size(0)} rows; ")
                + $"got {TensorMemory.Format(referenceWeight.shape)}.{padded}",
                name);
        }

        if (referenceBias is not null)
        {
            CheckBias(referenceBias, name + ".bias", referenceWeight, weightName, name);
        }
    }

    private static void CheckHidden(Tensor hidden, string name)
    {
        TokenArguments.CheckFloating(hidden, name);
        if (hidden.dim() == 0 || hidden.size(-1) == 0)
        {
            throw new ArgumentException($"{name} must have the shape [..., d] with d at least 1; got {TensorMemory.Describe(hidden)}.", name);
        }
    }

    private static void CheckWeight(Tensor weight, string name, Tensor hidden, string hiddenName, string? parameter = null)
    {
        parameter ??= name;
        TokenArguments.CheckFloating(weight, name, parameter);
        TokenArguments.CheckSameDevice(weight, hidden, name, hiddenName, parameter);
        if (weight.dim() != 2 || weight.size(0) == 0)
        {
            throw new ArgumentException($"{name} must have the shape [V, d] with V at least 1; got {TensorMemory.Describe(weight)}.", parameter);
        }

        if (weight.size(1) != hidden.size(-1))
        {
            throw new ArgumentException(
                Invariant($"{name} must have as many columns as {hiddenName} has features, {hidden.size(-1)}; ")
                + $"got {name} {TensorMemory.Format(weight.shape)} for {hiddenName} {TensorMemory.Format(hidden.shape)}.",
                parameter);
        }
    }

    private static void CheckBias(Tensor bias, string name, Tensor weight, string weightName, string? parameter = null)
    {
        parameter ??= name;
        TokenArguments.CheckFloating(bias, name, parameter);
        TokenArguments.CheckSameDevice(bias, weight, name, weightName, parameter);
        if (bias.dim() != 1 || bias.size(0) != weight.size(0))
        {
            throw new ArgumentException(
                Invariant($"{name} must have the shape [V], one element for each of the {weight.size(0)} rows of {weightName}; ")
                + $"got {TensorMemory.Describe(bias)}.",
                parameter);
        }
    }

    private static void CheckSameType(Tensor tensor, string name, Tensor hidden)
    {
        if (tensor.dtype != hidden.dtype)
        {
            throw new ArgumentException($"{name} must have the dtype of hidden, {hidden.dtype}; got {TensorMemory.Describe(tensor)}.", name);
        }
    }
}
