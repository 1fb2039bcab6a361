using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// By torch's products, in float32 or float64. A weight of another dtype is converted panel by panel, some rows of it at a time, into one
/// buffer; a weight that fits the product as it is, is not copied.
/// </summary>
internal sealed class TorchProjection : Projection
{
    private readonly Tensor _weight;
    private readonly Tensor? _bias;
    private readonly Tensor? _panel;
    private long _converted = -1; // row at which the panel begins that the buffer holds

    private TorchProjection(Tensor weight, Tensor? bias, ScalarType type, Tensor? panel)
    {
        _weight = weight;
        _bias = bias;
        Type = type;
        _panel = panel;
    }

    /// <inheritdoc/>
    public override ScalarType InputType => Type;

    /// <inheritdoc/>
    public override ScalarType Type { get; }

    /// <inheritdoc/>
    public override long Bytes => _panel is null ? 0 : _panel.numel() * _panel.element_size();

    /// <summary>Prepares a head; parameters as for <see cref="Projection.Of"/>.</summary>
    public static TorchProjection Of(Tensor weight, Tensor? bias, long panelBytes)
    {
        ScalarType type = LinearInputs.AccumulatorOf(weight);
        if (weight.dtype == type && IsMatrixOfProduct(weight))
        {
            return new TorchProjection(weight, bias, type, panel: null);
        }

        long rowBytes = weight.size(1) * (type == ScalarType.Float64 ? sizeof(double) : sizeof(float));
        long rows = Math.Clamp(panelBytes / rowBytes, 1, weight.size(0));
        return new TorchProjection(weight, bias, type, TensorMemory.Empty([rows, weight.size(1)], type, weight.device));
    }

    /// <inheritdoc/>
    public override void Logits(Tensor input, Tensor logits)
    {
        // With a factor of 0, the product does not read what it overwrites.
        float keep = 0;
        if (_bias is not null)
        {
            logits.copy_(_bias);
            keep = 1;
        }

        ForEachPanel((panel, first, count) => logits.narrow(1, first, count).addmm_(input, panel.t(), keep, 1));
    }

    /// <inheritdoc/>
    public override void InputGradient(Tensor logitGradient, Tensor inputGradient) =>
        ForEachPanel((panel, first, count) => inputGradient.addmm_(logitGradient.narrow(1, first, count), panel, first == 0 ? 0 : 1, 1));

    /// <inheritdoc/>
    public override void WeightGradient(Tensor logitGradient, Tensor input, Tensor weightGradient, bool add) =>
        weightGradient.addmm_(logitGradient.t(), input, add ? 1 : 0, 1);

    private void ForEachPanel(Action<Tensor, long, long> product)
    {
        long vocabulary = _weight.size(0);
        if (_panel is null)
        {
            product(_weight, 0, vocabulary);
            return;
        }

        for (long first = 0; first < vocabulary; first += _panel.size(0))
        {
            using DisposeScope scope = NewDisposeScope();
            long count = Math.Min(_panel.size(0), vocabulary - first);
            Tensor panel = _panel.narrow(0, 0, count);
            if (_converted != first)
            {
                panel.copy_(_weight.narrow(0, first, count));
                _converted = first;
            }

            product(panel, first, count);
        }
    }

    /// <summary>
    /// True for the strides that a matrix product takes without making a copy: one dimension contiguous, no overlap.
    /// </summary>
    internal static bool IsMatrixOfProduct(Tensor weight)
    {
        long[] strides = weight.stride();
        return (strides[1] == 1 && strides[0] >= weight.size(1)) || (strides[0] == 1 && strides[1] >= weight.size(0));
    }
}
