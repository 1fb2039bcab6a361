using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>The arguments of a loss on logits, checked.</summary>
/// <param name="Logits">The policy's logits.</param>
/// <param name="ReferenceLogits">The reference's, if the reference is that.</param>
/// <param name="InPlace">Whether the gradient overwrites the logits.</param>
/// <param name="Tokens">The other arguments.</param>
internal sealed record LossArguments(Tensor Logits, Tensor? ReferenceLogits, bool InPlace, TokenArguments Tokens)
{
    /// <summary>Dtype of the loss, of the metrics, and of all accumulation.</summary>
    public ScalarType Accumulator => TensorMemory.Accumulator(Logits);

    /// <summary>Vocabulary size V, of which the logits may be a shard.</summary>
    public long Vocabulary => Tokens.Shard?.Vocabulary ?? Logits.size(-1);

    /// <summary>The same with tensors whose memory holds what they stand for; see <see cref="TensorMemory.Resolved"/>.</summary>
    public LossArguments Resolved()
    {
        TokenArguments tokens = Tokens.Resolved();
        return !Logits.is_neg() && ReferenceLogits?.is_neg() != true && ReferenceEquals(tokens, Tokens) ? this : new(
            TensorMemory.Resolved(Logits), ReferenceLogits is null ? null : TensorMemory.Resolved(ReferenceLogits), InPlace, tokens);
    }

    /// <summary>Checks the arguments of <see cref="AsftFunctional.asft_loss"/>; parameters are named as there.</summary>
    public static LossArguments Check(
        Tensor logits,
        Tensor labels,
        TokenReference? reference,
        LossObjective? objective,
        Reduction reduction,
        Tensor? tokenCount,
        bool shiftLabels,
        bool inPlace,
        Tensor? tokenWeights,
        Func<TokenStatistics, Tensor>? weighting,
        VocabularyShard? shard)
    {
        CheckLogits(logits, nameof(logits));
        var tokens = TokenArguments.Check(
            logits, nameof(logits), labels, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard);
        TokenArguments.CheckShard(shard, logits, nameof(logits), logits.size(-1));
        Tensor? referenceLogits = reference switch
        {
            TensorReference given => given.Values,
            LogitsReference given => given.Values,
            HiddenReference => throw new ArgumentException(
                "reference is hidden states, which this loss cannot make logits of: give it reference logits, or use linear_asft_loss.", nameof(reference)),
            _ => null,
        };
        if (referenceLogits is not null)
        {
            CheckReference(referenceLogits, logits, nameof(reference));
        }

        CheckInPlace(inPlace, logits);
        return new LossArguments(logits, referenceLogits, inPlace, tokens);
    }

    private static void CheckLogits(Tensor logits, string name)
    {
        TokenArguments.CheckFloating(logits, name);
        if (logits.dim() == 0)
        {
            throw new ArgumentException($"{name} must have the shape [..., V]; got a tensor without dimensions.", name);
        }

        if (logits.size(-1) == 0)
        {
            throw new ArgumentException($"{name} must have a vocabulary of at least 1; got {TensorMemory.Describe(logits)}.", name);
        }
    }

    private static void CheckReference(Tensor reference, Tensor logits, string name)
    {
        CheckLogits(reference, name);
        TokenArguments.CheckSameDevice(reference, logits, name, nameof(logits));
        long dimensions = logits.dim();
        if (reference.dim() == dimensions && TensorMemory.HaveSameSizes(reference, logits, dimensions))
        {
            return;
        }

        bool isPadded = reference.dim() == dimensions && TensorMemory.HaveSameSizes(reference, logits, dimensions - 1)
            && reference.size(-1) > logits.size(-1);
        string padded = !isPadded ? string.Empty
            : Invariant($" If its vocabulary is padded, give the part that is not: reference.narrow(-1, 0, {logits.size(-1)}), which copies nothing.");
        throw new ArgumentException(
            $"{name} must have the shape of logits, {TensorMemory.Format(logits.shape)}; got {TensorMemory.Format(reference.shape)}.{padded}",
            name);
    }

    /// <summary>Torch refuses in-place operations on such tensors: the caller would go on from a gradient instead of the values.</summary>
    private static void CheckInPlace(bool inPlace, Tensor logits)
    {
        if (inPlace && is_grad_enabled() && logits.requires_grad && TorchFacts.IsLeafOrViewOfOne(logits))
        {
            throw new ArgumentException(
                $"inPlace would overwrite logits, a leaf that requires grad or a view of one, with their gradient; got {TensorMemory.Describe(logits)}. "
                + "Use inPlace: false, or give logits that an operation has computed.",
                nameof(inPlace));
        }
    }
}
