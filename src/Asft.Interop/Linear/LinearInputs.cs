using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The tensors that logits are made from. Without a <see cref="ReferenceWeight"/>, the reference's head is the policy's, bias
/// included.
/// </summary>
internal sealed record LinearInputs(
    Tensor Hidden, Tensor Weight, Tensor? Bias, Tensor? ReferenceHidden, Tensor? ReferenceWeight, Tensor? ReferenceBias)
{
    /// <summary>Rows of the head: vocabulary size V, or those of a shard.</summary>
    public long Vocabulary => Weight.size(0);

    /// <summary>
    /// Dtype that everything is computed in: logits, the loss, and gradients until they are rounded to their inputs' dtype.
    /// </summary>
    public ScalarType Accumulator => AccumulatorOf(Weight);

    /// <summary>float64 for float64, otherwise float32.</summary>
    public static ScalarType AccumulatorOf(Tensor tensor) =>
        tensor.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;

    /// <summary>The same with tensors whose memory holds what they stand for; see <see cref="TensorMemory.Resolved"/>.</summary>
    public LinearInputs Resolved() => new(
        TensorMemory.Resolved(Hidden),
        TensorMemory.Resolved(Weight),
        Resolved(Bias),
        Resolved(ReferenceHidden),
        Resolved(ReferenceWeight),
        Resolved(ReferenceBias));

    /// <summary>The same without a reference.</summary>
    public LinearInputs WithoutReference() => this with { ReferenceHidden = null, ReferenceWeight = null, ReferenceBias = null };

    /// <summary>
    /// The same, with a reference head that turns out to be the policy's own left out: one product serves both then.
    /// </summary>
    public LinearInputs WithSharedHead() => ReferenceWeight is not null && IsSame(ReferenceWeight, Weight) && IsSame(ReferenceBias, Bias)
        ? this with { ReferenceWeight = null, ReferenceBias = null }
        : this;

    /// <summary>The tensors as a graph saves them; those that lead to no gradient are constants.</summary>
    public List<Tensor?> ToSave(bool needsGradientOfHidden, bool needsGradientOfWeight, bool needsGradientOfBias) =>
    [
        needsGradientOfHidden ? Hidden : TensorMemory.Savable(Hidden),
        needsGradientOfWeight ? Weight : TensorMemory.Savable(Weight),
        needsGradientOfBias ? Bias : Savable(Bias),
        Savable(ReferenceHidden),
        Savable(ReferenceWeight),
        Savable(ReferenceBias),
    ];

    /// <summary>The opposite of <see cref="ToSave"/>.</summary>
    public static LinearInputs FromSaved(Tensor?[] saved) => new(saved[0]!, saved[1]!, saved[2], saved[3], saved[4], saved[5]);

    private static Tensor? Resolved(Tensor? tensor) => tensor is null ? null : TensorMemory.Resolved(tensor);

    private static Tensor? Savable(Tensor? tensor) => tensor is null ? null : TensorMemory.Savable(tensor);

    private static unsafe bool IsSame(Tensor? a, Tensor? b) => a is null || b is null
        ? a is null && b is null
        : a.dtype == b.dtype
            && TensorMemory.Pointer(a) == TensorMemory.Pointer(b)
            && a.shape.AsSpan().SequenceEqual(b.shape)
            && a.stride().AsSpan().SequenceEqual(b.stride());
}

/// <summary>
/// Which inputs of a linear loss need a gradient. What nobody needs is not computed: a frozen head costs no product.
/// </summary>
internal readonly record struct GradientNeeds(bool Hidden, bool Weight, bool Bias)
{
    /// <summary>True if any does.</summary>
    public bool Any => Hidden || Weight || Bias;

    /// <summary>What is needed now: nothing while autograd is off.</summary>
    public static GradientNeeds Of(LinearInputs inputs) => is_grad_enabled()
        ? new(inputs.Hidden.requires_grad, inputs.Weight.requires_grad, inputs.Bias is { requires_grad: true })
        : default;

    /// <summary>The inputs that need a gradient, in the order hidden, weight, bias.</summary>
    public IEnumerable<Tensor> Select(LinearInputs inputs)
    {
        if (Hidden)
        {
            yield return inputs.Hidden;
        }

        if (Weight)
        {
            yield return inputs.Weight;
        }

        if (Bias)
        {
            yield return inputs.Bias!;
        }
    }
}
