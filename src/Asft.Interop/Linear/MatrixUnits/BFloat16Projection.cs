using Asft.Kernels.Cpu;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// By the processor's bfloat16 units, with sums, logits and gradients in float32. Inputs and weight are multiplied as they are, and so nothing
/// is lost; the gradient of the logits is rounded to bfloat16 first, as an operand. The weight is interleaved on the way, a stripe at a time.
/// </summary>
internal sealed unsafe class BFloat16Projection : Projection
{
    private readonly Tensor _weight;
    private readonly Tensor? _bias;

    /// <param name="weight">A weight that it <see cref="Takes"/>.</param>
    /// <param name="bias">The bias, any floating dtype, or null.</param>
    public BFloat16Projection(Tensor weight, Tensor? bias)
    {
        _weight = weight;
        _bias = bias?.to_type(ScalarType.Float32).contiguous();
    }

    /// <inheritdoc/>
    public override ScalarType InputType => ScalarType.BFloat16;

    /// <inheritdoc/>
    public override ScalarType Type => ScalarType.Float32;

    /// <inheritdoc/>
    public override long RowMultiple => BFloat16Units.TileRows;

    private ushort* Weight => (ushort*)TensorMemory.Pointer(_weight);

    /// <summary>Whether a weight is one for the units: bfloat16 in host memory, in rows of pairs.</summary>
    public static bool Takes(Tensor weight) =>
        weight.dtype == ScalarType.BFloat16 && weight.device_type == DeviceType.CPU
        && weight.stride(1) == 1 && weight.size(1) % 2 == 0 && weight.stride(0) % 2 == 0
        && BFloat16Units.AreThere;

    /// <inheritdoc/>
    public override void Logits(Tensor input, Tensor logits) => new LogitTiles
    {
        Input = (ushort*)TensorMemory.Pointer(input),
        Count = input.size(0),
        Weight = Weight,
        WeightStride = _weight.stride(0),
        Vocabulary = _weight.size(0),
        Width = _weight.size(1),
        Bias = _bias is null ? null : (float*)TensorMemory.Pointer(_bias),
        Logits = Tiles(logits),
    }.Run();

    /// <inheritdoc/>
    public override void Prepare(Tensor logitGradient) =>
        new RoundedRows((float*)TensorMemory.Pointer(logitGradient), logitGradient.stride(0), logitGradient.size(1)).Run(logitGradient.size(0));

    /// <inheritdoc/>
    public override void InputGradient(Tensor logitGradient, Tensor inputGradient) => new InputGradientTiles
    {
        Gradient = (ushort*)TensorMemory.Pointer(logitGradient),
        GradientStride = PreparedStride(logitGradient),
        Count = logitGradient.size(0),
        Weight = Weight,
        WeightStride = _weight.stride(0),
        Vocabulary = _weight.size(0),
        Width = _weight.size(1),
        InputGradient = Tiles(inputGradient),
    }.Run();

    /// <inheritdoc/>
    public override void WeightGradient(Tensor logitGradient, Tensor input, Tensor weightGradient, bool add)
    {
        long count = input.size(0);
        long width = input.size(1);
        long pairs = WeightGradientTiles.InterleavedPairs(count, width);
        RowScratch scratch = RowScratch.Rent(RowScratch.SizeOf<uint>(pairs));
        try
        {
            uint* interleaved = scratch.Take<uint>(pairs);
            WeightGradientTiles.Interleave((ushort*)TensorMemory.Pointer(input), count, width, interleaved);
            new WeightGradientTiles
            {
                Gradient = (ushort*)TensorMemory.Pointer(logitGradient),
                GradientStride = PreparedStride(logitGradient),
                Count = count,
                Vocabulary = logitGradient.size(1),
                Input = interleaved,
                Width = width,
                WeightGradient = Tiles(weightGradient),
                Add = add,
            }.Run();
        }
        finally
        {
            scratch.Return();
        }
    }

    private static TiledMatrix Tiles(Tensor matrix) =>
        new((float*)TensorMemory.Pointer(matrix), matrix.stride(0), matrix.size(0), matrix.size(1));

    /// <summary>Distance of two rows of bfloat16 that begin where rows of float32 do.</summary>
    private static long PreparedStride(Tensor logitGradient) => logitGradient.stride(0) * (sizeof(float) / sizeof(ushort));
}
