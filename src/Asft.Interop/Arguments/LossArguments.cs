using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>The arguments of a loss, checked: everything that can be wrong with them short of the labels' values is found here.</summary>
internal sealed class LossArguments
{
    private LossArguments(
        Tensor logits, Tensor labels, Tensor? reference, LossObjective objective, Reduction reduction, Tensor? tokenCount, bool shiftLabels, bool inPlace)
    {
        Logits = logits;
        Labels = labels;
        Reference = reference;
        Objective = objective;
        Reduction = reduction;
        TokenCount = tokenCount;
        ShiftLabels = shiftLabels;
        InPlace = inPlace;
    }

    public Tensor Logits { get; }

    public Tensor Labels { get; }

    public Tensor? Reference { get; }

    public LossObjective Objective { get; }

    public Reduction Reduction { get; }

    /// <summary>The denominator of a mean, when the caller gave one; its value is not checked yet.</summary>
    public Tensor? TokenCount { get; }

    public bool ShiftLabels { get; }

    public bool InPlace { get; }

    /// <summary>Dtype of the loss, of the metrics, and of all accumulation.</summary>
    public ScalarType Accumulator => TensorMemory.Accumulator(Logits);

    /// <summary>The same with tensors whose memory holds what they stand for; see <see cref="TensorMemory.Resolved"/>.</summary>
    public LossArguments Resolved() => !Logits.is_neg() && Reference?.is_neg() != true && TokenCount?.is_neg() != true ? this : new(
        TensorMemory.Resolved(Logits),
        Labels,
        Reference is null ? null : TensorMemory.Resolved(Reference),
        Objective,
        Reduction,
        TokenCount is null ? null : TensorMemory.Resolved(TokenCount),
        ShiftLabels,
        InPlace);

    /// <summary>Checks the arguments of <see cref="AsftFunctional.asft_loss"/>; parameters are named as there.</summary>
    public static LossArguments Check(
        Tensor logits,
        Tensor labels,
        Tensor? referenceLogits,
        LossObjective? objective,
        Reduction reduction,
        Tensor? tokenCount,
        bool shiftLabels,
        bool inPlace)
    {
        objective ??= LossObjective.Asft();
        CheckLogits(logits, nameof(logits));
        CheckLabels(labels, logits, shiftLabels, nameof(logits));
        CheckReference(referenceLogits, logits, objective);
        objective.CheckFits(TensorMemory.TypeOf(logits) ?? ElementType.Float32);
        CheckReduction(reduction);
        CheckTokenCount(tokenCount);
        CheckInPlace(inPlace, logits);
        return new LossArguments(logits, labels, referenceLogits, objective, reduction, tokenCount, shiftLabels, inPlace);
    }

    private static void CheckLogits(Tensor logits, string name)
    {
        CheckUsable(logits, name);
        if (TensorMemory.TypeOf(logits) is null || logits.is_sparse)
        {
            throw new ArgumentException(
                $"{name} must be a dense tensor of float32, bfloat16, float16 or float64; got {TensorMemory.Describe(logits)}.", name);
        }

        if (logits.dim() == 0)
        {
            throw new ArgumentException($"{name} must have the shape [..., V]; got a tensor without dimensions.", name);
        }

        if (logits.size(-1) == 0)
        {
            throw new ArgumentException($"{name} must have a vocabulary of at least 1; got {TensorMemory.Describe(logits)}.", name);
        }
    }

    /// <summary>Checks everything about labels but their values.</summary>
    /// <param name="labels">The labels.</param>
    /// <param name="rows">What they are labels of: a tensor with one dimension more.</param>
    /// <param name="shiftLabels">Whether the last dimension is shifted along.</param>
    /// <param name="name">What the caller calls <paramref name="rows"/>.</param>
    internal static void CheckLabels(Tensor labels, Tensor rows, bool shiftLabels, string name)
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

    private static void CheckReference(Tensor? referenceLogits, Tensor logits, LossObjective objective)
    {
        if (referenceLogits is null)
        {
            if (objective.NeedsReference)
            {
                throw MissingReference(objective, nameof(referenceLogits));
            }

            return;
        }

        CheckLogits(referenceLogits, nameof(referenceLogits));
        CheckSameDevice(referenceLogits, logits, nameof(referenceLogits), nameof(logits));
        if (referenceLogits.dim() != logits.dim() || !TensorMemory.HaveSameSizes(referenceLogits, logits, logits.dim()))
        {
            throw new ArgumentException(
                $"referenceLogits must have the shape of logits, {TensorMemory.Format(logits.shape)}; "
                + $"got {TensorMemory.Format(referenceLogits.shape)}.",
                nameof(referenceLogits));
        }
    }

    /// <summary>Checks that a reduction is one of torch's.</summary>
    internal static void CheckReduction(Reduction reduction)
    {
        if (!Enum.IsDefined(reduction))
        {
            throw OutOfRange.Of(nameof(reduction), reduction, "None, Mean or Sum");
        }
    }

    /// <summary>Checks everything about a token count but its value.</summary>
    internal static void CheckTokenCount(Tensor? tokenCount)
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

    /// <summary>The exception for an objective without the reference that it needs, which is the argument of that name.</summary>
    internal static ArgumentNullException MissingReference(LossObjective objective, string name)
    {
        string reason = objective.KlWeight > 0 ? Invariant($"has KlWeight {objective.KlWeight}") : "weighs tokens by ImportanceRatio";
        return new ArgumentNullException(
            name, $"The objective {reason} and so needs {name}; got null. To train without a reference, pass LossObjective.Sft.");
    }

    /// <summary>The exception for a token count whose value will not do.</summary>
    internal static ArgumentOutOfRangeException TokenCountOutOfRange(double tokenCount) =>
        OutOfRange.Of(nameof(tokenCount), tokenCount, "finite and above 0");

    /// <summary>Checks that a tensor is where another one is.</summary>
    internal static void CheckSameDevice(Tensor tensor, Tensor other, string name, string otherName)
    {
        if (tensor.device_type != other.device_type || tensor.device_index != other.device_index)
        {
            throw new ArgumentException($"{name} is on {tensor.device}, {otherName} on {other.device}; they must be on one device.", name);
        }
    }

    /// <summary>Checks that a tensor is there at all.</summary>
    internal static void CheckUsable(Tensor tensor, string name)
    {
        ArgumentNullException.ThrowIfNull(tensor, name);
        if (tensor.IsInvalid)
        {
            throw new ArgumentException($"{name} was disposed.", name);
        }
    }
}
