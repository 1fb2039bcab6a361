using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>An output projection <c>x W^T + b</c> and the products that lead back from the gradient of its logits.</summary>
internal abstract class Projection
{
    /// <summary>Dtype of the inputs.</summary>
    public abstract ScalarType InputType { get; }

    /// <summary>Dtype of logits and gradients.</summary>
    public abstract ScalarType Type { get; }

    /// <summary>Bytes of the buffers that it keeps.</summary>
    public virtual long Bytes => 0;

    /// <summary>Bytes of a row that a prepared gradient takes besides the logits in whose place it was.</summary>
    public virtual long GradientRowBytes => 0;

    /// <summary>Inputs and logits must have memory for a multiple of this many rows.</summary>
    public virtual long RowMultiple => 1;

    /// <summary>Prepares a head.</summary>
    /// <param name="weight">The weight <c>[V, d]</c>, any strides.</param>
    /// <param name="bias">The bias <c>[V]</c> or null.</param>
    /// <param name="inputs">Whatever its inputs are made from.</param>
    /// <param name="panelBytes">Largest size of a buffer for converted rows of the weight, where they are needed; it has at least one row.</param>
    public static Projection Of(Tensor weight, Tensor? bias, IEnumerable<Tensor> inputs, long panelBytes) =>
        TensorCoreProjection.Takes(weight) && inputs.All(input => input.dtype == weight.dtype)
            ? new TensorCoreProjection(weight.detach(), bias?.detach())
            : BFloat16Projection.Takes(weight) && inputs.All(input => input.dtype == ScalarType.BFloat16)
            ? new BFloat16Projection(weight.detach(), bias?.detach())
            : TorchProjection.Of(weight.detach(), bias?.detach(), panelBytes);

    /// <summary>Logits <c>[n, V]</c> of inputs <c>[n, d]</c>, written over whatever <paramref name="logits"/> held.</summary>
    public abstract void Logits(Tensor input, Tensor logits);

    /// <summary>Makes room for the prepared gradients of so many rows, in the current dispose scope.</summary>
    public virtual void ReserveGradient(long rows)
    {
    }

    /// <summary>Gives a gradient of the logits the form in which the products take it: its values are nobody else's business any more.</summary>
    public virtual void Prepare(Tensor logitGradient)
    {
    }

    /// <summary>
    /// Gradient of the inputs <c>[n, d]</c> from the prepared one of the logits <c>[n, V]</c>, written over whatever was there. Nothing is left of
    /// the latter: this comes last.
    /// </summary>
    public abstract void InputGradient(Tensor logitGradient, Tensor inputGradient);

    /// <summary>Gradient of the weight <c>[V, d]</c>, contiguous, from the inputs and the prepared one of the logits.</summary>
    /// <param name="logitGradient">The gradient of the logits.</param>
    /// <param name="input">The inputs.</param>
    /// <param name="weightGradient">Where it goes.</param>
    /// <param name="add">Added to what is there, or written over it.</param>
    public abstract void WeightGradient(Tensor logitGradient, Tensor input, Tensor weightGradient, bool add);
}
