using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>The arguments that all losses have, checked: everything that can be wrong with them short of the values in tensors is found here.</summary>
/// <param name="Labels">The labels.</param>
/// <param name="Reference">What the policy is anchored to; checked here where its tensors are shaped like the labels.</param>
/// <param name="Objective">The objective.</param>
/// <param name="Reduction">How token losses become the loss.</param>
/// <param name="TokenCount">The denominator of a mean, when the caller gave one; its value is not checked yet.</param>
/// <param name="ShiftLabels">Whether position t is scored against label t+1.</param>
/// <param name="TokenWeights">The caller's factor of each token's loss.</param>
/// <param name="Weighting">The caller's weight of each token's negative log-likelihood.</param>
/// <param name="Shard">The columns that this rank has, of a vocabulary that others have parts of.</param>
internal sealed record TokenArguments(
    Tensor Labels,
    TokenReference? Reference,
    LossObjective Objective,
    Reduction Reduction,
    Tensor? TokenCount,
    bool ShiftLabels,
    Tensor? TokenWeights,
    Func<TokenStatistics, Tensor>? Weighting,
    VocabularyShard? Shard)
{
    /// <summary>The same with tensors whose memory holds what they stand for; see <see cref="TensorMemory.Resolved"/>. What is copied anyway needs it not.</summary>
    public TokenArguments Resolved() => TokenCount?.is_neg() != true ? this : this with { TokenCount = TensorMemory.Resolved(TokenCount) };

    /// <summary>
    /// The same with tensors in host memory, but for hidden states and logits. The host waits for a device once for all of them; the new ones belong to
    /// the current dispose scope.
    /// </summary>
    public TokenArguments OnHost()
    {
        if (Labels.device_type == DeviceType.CPU)
        {
            return TokenCount is null ? this : this with { TokenCount = DeviceServices.Current.ToHost(TokenCount)[0] };
        }

        TokenReference? kept = Reference is LabelReference or EntriesReference ? Reference : null;
        var copies = new Queue<Tensor>(DeviceServices.Current.ToHost(
            [Labels, .. new[] { TokenWeights, TokenCount }.OfType<Tensor>(), .. kept?.Tensors ?? []]));
        return this with
        {
            Labels = copies.Dequeue(),
            TokenWeights = TokenWeights is null ? null : copies.Dequeue(),
            TokenCount = TokenCount is null ? null : copies.Dequeue(),
            Reference = kept?.Map(_ => copies.Dequeue()) ?? Reference,
        };
    }

    /// <summary>
    /// Checks them; parameters are named as in <see cref="AsftFunctional.asft_loss"/>. The rows are what the labels are labels of, a tensor with one
    /// dimension more, checked already.
    /// </summary>
    public static TokenArguments Check(
        Tensor rows,
        string rowsName,
        Tensor labels,
        TokenReference? reference,
        LossObjective? objective,
        Reduction reduction,
        Tensor? tokenCount,
        bool shiftLabels,
        Tensor? tokenWeights,
        Func<TokenStatistics, Tensor>? weighting,
        VocabularyShard? shard)
    {
        objective ??= LossObjective.Asft();
        CheckLabels(labels, rows, shiftLabels, rowsName);
        CheckReference(reference, labels, objective);
        objective.CheckFits(TensorMemory.TypeOf(rows) ?? ElementType.Float32);
        if (!Enum.IsDefined(reduction))
        {
            throw OutOfRange.Of(nameof(reduction), reduction, "None, Mean or Sum");
        }

        CheckTokenCount(tokenCount);
        if (tokenWeights is not null)
        {
            CheckPerToken(tokenWeights, labels, nameof(tokenWeights), nameof(tokenWeights));
        }

        return new TokenArguments(labels, reference, objective, reduction, tokenCount, shiftLabels, tokenWeights, weighting, shard);
    }

    /// <summary>Checks that the columns of a shard are within its vocabulary, and its memory where its group exchanges any.</summary>
    public static void CheckShard(VocabularyShard? shard, Tensor columns, string name, long count)
    {
        if (shard is null)
        {
            return;
        }

        if (shard.FirstColumn + count > shard.Vocabulary)
        {
            throw new ArgumentException(
                Invariant($"shard begins at column {shard.FirstColumn} of {shard.Vocabulary}, and {name} has {count}, which is more than are left; ")
                + $"got {TensorMemory.Describe(columns)}.",
                nameof(shard));
        }

        if (shard.Group.IsOnDevice && columns.device_type != DeviceType.CUDA)
        {
            throw new ArgumentException(
                $"shard has a group that exchanges the memory of CUDA devices, and {name} is on {columns.device}.", nameof(shard));
        }
    }

    /// <summary>Checks one real number for each label, but for its value.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="labels">The labels.</param>
    /// <param name="parameter">The argument that it comes from.</param>
    /// <param name="name">What to call it.</param>
    public static void CheckPerToken(Tensor tensor, Tensor labels, string parameter, string name)
    {
        CheckFloating(tensor, name, parameter);
        CheckSameDevice(tensor, labels, parameter, nameof(labels));
        if (tensor.dim() != labels.dim() || !TensorMemory.HaveSameSizes(tensor, labels, labels.dim()))
        {
            throw new ArgumentException(
                $"{name} must have the shape of labels, {TensorMemory.Format(labels.shape)}; got {TensorMemory.Format(tensor.shape)}.", parameter);
        }
    }

    /// <summary>The exception for an objective without the reference that it needs.</summary>
    private static ArgumentNullException MissingReference(LossObjective objective, string name)
    {
        string reason = objective.KlWeight > 0 ? Invariant($"has KlWeight {objective.KlWeight}") : "weighs tokens by ImportanceRatio";
        return new ArgumentNullException(
            name, $"The objective {reason} and so needs a {name}; got null. To train without a reference, pass LossObjective.Sft.");
    }

    /// <summary>The exception for a token count whose value will not do.</summary>
    public static ArgumentOutOfRangeException TokenCountOutOfRange(double tokenCount) =>
        OutOfRange.Of(nameof(tokenCount), tokenCount, "finite and above 0");

    /// <summary>Checks that a tensor is where another one is.</summary>
    public static void CheckSameDevice(Tensor tensor, Tensor other, string name, string otherName, string? parameter = null)
    {
        if (tensor.device_type != other.device_type || tensor.device_index != other.device_index)
        {
            throw new ArgumentException($"{name} is on {tensor.device}, {otherName} on {other.device}; they must be on one device.", parameter ?? name);
        }
    }

    /// <summary>Checks that a tensor is there at all.</summary>
    public static void CheckUsable(Tensor tensor, string name)
    {
        ArgumentNullException.ThrowIfNull(tensor, name);
        if (tensor.IsInvalid)
        {
            throw new ArgumentException($"{name} was disposed.", name);
        }
    }

    /// <summary>Checks that a tensor has a dtype that logits can have.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="name">What to call it.</param>
    /// <param name="parameter">The argument that it comes from; null for the one of that name.</param>
    public static void CheckFloating(Tensor tensor, string name, string? parameter = null)
    {
        CheckUsable(tensor, parameter ?? name);
        if (TensorMemory.TypeOf(tensor) is null || tensor.is_sparse)
        {
            throw new ArgumentException(
                $"{name} must be a dense tensor of float32, bfloat16, float16 or float64; got {TensorMemory.Describe(tensor)}.", parameter ?? name);
        }
    }

    private static void CheckLabels(Tensor labels, Tensor rows, bool shiftLabels, string name)
    {
        CheckUsable(labels, nameof(labels));
        if (labels.dtype is not (ScalarType.Int64 or ScalarType.Int32))
        {
            throw new ArgumentException($"labels must be int64 or int32; got {TensorMemory.Describe(labels)}.", nameof(labels));
        }

        CheckSameDevice(labels, rows, nameof(labels), name);
        if (labels.dim() != rows.dim() - 1 || !TensorMemory.HaveSameSizes(labels, rows, labels.dim()))
        {
            throw new ArgumentException(
                $"labels must have the shape of {name} without the last dimension; got labels {TensorMemory.Format(labels.shape)} "
                + $"for {name} {TensorMemory.Format(rows.shape)}.{ClassesSecond(labels, rows, name)}",
                nameof(labels));
        }

        if (shiftLabels && labels.dim() == 0)
        {
            throw new ArgumentException("shiftLabels needs labels with a dimension to shift along; got labels without dimensions.", nameof(shiftLabels));
        }
    }

    /// <summary>What to do about <c>cross_entropy</c>'s own layout [N, C, T...]; empty where the shapes are not those of it.</summary>
    private static string ClassesSecond(Tensor labels, Tensor rows, string name) =>
        rows.dim() > 2 && labels.shape.AsSpan().SequenceEqual([rows.size(0), .. rows.shape.AsSpan(2)])
            ? " These are the shapes of cross_entropy's own layout [N, C, T...]: put the classes last with movedim(1, -1), "
            + $"which TorchSharp writes {name}.movedim([1], [-1]); the reference's too."
            : string.Empty;

    private static void CheckReference(TokenReference? reference, Tensor labels, LossObjective objective)
    {
        switch (reference)
        {
            case null when objective.NeedsReference:
                throw MissingReference(objective, nameof(reference));
            case LabelReference kept:
                CheckPerToken(kept.LogProbabilities, labels, nameof(reference), "The reference's LabelLogProbabilities");
                break;
            case EntriesReference kept:
                CheckEntries(kept, labels, nameof(reference));
                break;
        }

        if (objective.ReferenceRefusal(reference is LabelReference, reference is EntriesReference) is { } refusal)
        {
            throw new ArgumentException(refusal, nameof(reference));
        }
    }

    private static void CheckEntries(EntriesReference kept, Tensor labels, string parameter)
    {
        const string IndicesName = "The reference's TopK indices";
        Tensor indices = kept.Indices;
        CheckUsable(indices, parameter);
        if (indices.dtype is not (ScalarType.Int64 or ScalarType.Int32))
        {
            throw new ArgumentException($"{IndicesName} must be int64 or int32; got {TensorMemory.Describe(indices)}.", parameter);
        }

        CheckSameDevice(indices, labels, parameter, nameof(labels));
        if (indices.dim() != labels.dim() + 1 || !TensorMemory.HaveSameSizes(indices, labels, labels.dim()) || indices.size(-1) is < 1 or > int.MaxValue)
        {
            throw new ArgumentException(
                $"{IndicesName} must have the shape of labels and one dimension more, for at least one entry; "
                + $"got {TensorMemory.Format(indices.shape)} for labels {TensorMemory.Format(labels.shape)}.",
                parameter);
        }

        const string LogsName = "The reference's TopK log-probabilities";
        Tensor logs = kept.LogProbabilities;
        CheckFloating(logs, LogsName, parameter);
        CheckSameDevice(logs, labels, parameter, nameof(labels));
        if (logs.dim() != indices.dim() || !TensorMemory.HaveSameSizes(logs, indices, indices.dim()))
        {
            throw new ArgumentException(
                $"{LogsName} must have the shape of the indices, {TensorMemory.Format(indices.shape)}; got {TensorMemory.Format(logs.shape)}.", parameter);
        }
    }

    private static void CheckTokenCount(Tensor? tokenCount)
    {
        if (tokenCount is null)
        {
            return;
        }

        CheckUsable(tokenCount, nameof(tokenCount));
        if (tokenCount.numel() != 1 || tokenCount.is_complex() || tokenCount.dtype == ScalarType.Bool)
        {
            throw new ArgumentException(
                $"tokenCount must have exactly one element, of an integer or real type; got {TensorMemory.Describe(tokenCount)}.",
                nameof(tokenCount));
        }
    }
}
