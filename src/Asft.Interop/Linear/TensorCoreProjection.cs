using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// By a device's tensor cores: hidden states and weight are multiplied as they are, in bfloat16 or float16, with sums, logits and gradients in
/// float32. No weight is converted, and a block of rows is one product in each direction.
/// </summary>
/// <remarks>
/// On the way back the gradient of the logits is an operand, too. For a bfloat16 head it is rounded to bfloat16, once for both products. float16 has
/// not the range for it: for the hidden states' gradient each row is scaled so that it fits, and for the weight's the product is one of float32 that
/// rounds its factors to the significant bits of float16 and not to its range (<see cref="TensorFloat32"/>).
/// </remarks>
internal sealed class TensorCoreProjection : Projection
{
    /// <summary>Rows of an operand begin at multiples of this many elements, 128 bytes, as tensor cores want them.</summary>
    private const long RowAlignment = 64;

    /// <summary>The largest magnitude in a row of a float16 operand; float16 ends at 65504.</summary>
    private const float Largest = 32768;

    /// <summary>Rows whose largest magnitude is below this are scaled like one that has it: the factor stays finite.</summary>
    private const float Smallest = 1e-30f;

    private readonly Tensor _weight;
    private readonly Tensor? _bias;
    private Tensor? _operand;

    /// <param name="weight">A weight that it <see cref="Takes"/>.</param>
    /// <param name="bias">The bias, any floating dtype, or null.</param>
    public TensorCoreProjection(Tensor weight, Tensor? bias)
    {
        _weight = weight;
        _bias = bias;
    }

    /// <inheritdoc/>
    public override ScalarType InputType => _weight.dtype;

    /// <inheritdoc/>
    public override ScalarType Type => ScalarType.Float32;

    /// <inheritdoc/>
    public override long GradientRowBytes => RowElements * sizeof(ushort);

    private bool IsBFloat16 => _weight.dtype == ScalarType.BFloat16;

    private long RowElements => (_weight.size(0) + RowAlignment - 1) / RowAlignment * RowAlignment;

    /// <summary>Whether a weight is one for tensor cores.</summary>
    public static bool Takes(Tensor weight) => DeviceServices.Current.Multiplies(weight) && TorchProjection.IsMatrixOfProduct(weight);

    /// <inheritdoc/>
    public override void Logits(Tensor input, Tensor logits)
    {
        if (_bias is not null)
        {
            logits.copy_(_bias);
        }

        DeviceServices.Current.Multiply(logits, input, _weight.t(), add: _bias is not null);
    }

    /// <inheritdoc/>
    public override void ReserveGradient(long rows) =>
        _operand = TensorMemory.Empty([rows, RowElements], _weight.dtype, _weight.device).narrow(1, 0, _weight.size(0));

    /// <inheritdoc/>
    public override void Prepare(Tensor logitGradient)
    {
        if (IsBFloat16)
        {
            Operand(logitGradient.size(0)).copy_(logitGradient);
        }
    }

    /// <inheritdoc/>
    public override void WeightGradient(Tensor logitGradient, Tensor input, Tensor weightGradient, bool add)
    {
        if (IsBFloat16)
        {
            DeviceServices.Current.Multiply(weightGradient, Operand(input.size(0)).t(), input, add);
            return;
        }

        using TensorFloat32 allowed = TensorFloat32.Allow();
        weightGradient.addmm_(logitGradient.t(), input.to_type(ScalarType.Float32), add ? 1 : 0, 1);
    }

    /// <inheritdoc/>
    public override void InputGradient(Tensor logitGradient, Tensor inputGradient)
    {
        Tensor operand = Operand(logitGradient.size(0));
        if (IsBFloat16)
        {
            DeviceServices.Current.Multiply(inputGradient, operand, _weight, add: false);
            return;
        }

        Tensor largest = linalg.vector_norm(logitGradient, double.PositiveInfinity, [1], keepdim: true);
        Tensor scale = largest.clamp_(min: Smallest).reciprocal_().mul_(Largest);
        operand.copy_(logitGradient.mul_(scale));
        DeviceServices.Current.Multiply(inputGradient, operand, _weight, add: false);
        inputGradient.div_(scale);
    }

    private Tensor Operand(long rows) => _operand!.narrow(0, 0, rows);
}
