using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Results of the counted tokens, one after the other, and how they come back to the places of their labels.</summary>
internal sealed unsafe class LinearTokens
{
    private readonly CountedRows _rows;
    private readonly Tensor? _logProbability;
    private readonly Tensor? _weight;
    private readonly Tensor? _kl;
    private readonly Tensor? _logSumExp;
    private readonly Tensor? _predicted;

    /// <summary>Makes room for what is needed.</summary>
    /// <param name="rows">The rows that count.</param>
    /// <param name="type">The accumulator's dtype.</param>
    /// <param name="device">Where the inputs are.</param>
    /// <param name="metrics">The caller gets all results, not only the loss.</param>
    public LinearTokens(CountedRows rows, ScalarType type, Device device, bool metrics)
    {
        _rows = rows;
        long[] shape = [rows.Count];
        Loss = TensorMemory.Empty(shape, type, device);
        if (metrics)
        {
            _logProbability = TensorMemory.Empty(shape, type, device);
            _weight = TensorMemory.Empty(shape, type, device);
            _kl = zeros(shape, type, device); // stays 0 without a reference
            _logSumExp = TensorMemory.Empty(shape, type, device);
            _predicted = TensorMemory.Empty(shape, ScalarType.Int64, device);
        }
    }

    /// <summary>Loss of each counted token.</summary>
    public Tensor Loss { get; }

    /// <summary>Where a kernel writes the results of the tokens from <paramref name="first"/> on.</summary>
    public TokenOutputs Outputs(long first, bool withReference) => new()
    {
        Loss = Pointer(Loss, first),
        LogProbability = Pointer(_logProbability, first),
        Weight = Pointer(_weight, first),
        Kl = withReference ? Pointer(_kl, first) : null,
        LogSumExp = Pointer(_logSumExp, first),
        Predicted = (long*)Pointer(_predicted, first),
    };

    /// <summary>The metrics as tensors of the shape of the labels.</summary>
    /// <param name="loss">The reduced loss.</param>
    /// <param name="shape">Shape of the labels.</param>
    public AsftLossResult Result(Tensor loss, long[] shape) => new(
        loss,
        Spread(Loss, shape),
        Spread(_logProbability!, shape),
        Spread(_weight!, shape),
        Spread(_kl!, shape),
        Spread(_logSumExp!, shape),
        Spread(_predicted!, shape, ignored: -1),
        new TokenCount(_rows.Count));

    /// <summary>Every token's value at the place of its label, and another value where labels are ignored.</summary>
    public Tensor Spread(Tensor values, long[] shape, double ignored = 0)
    {
        Tensor all = full([_rows.Total], ignored, values.dtype, values.device);
        if (_rows.Count > 0)
        {
            _rows.Scatter(values, 0, all);
        }

        return all.view(shape);
    }

    private static void* Pointer(Tensor? tensor, long first) =>
        tensor is null ? null : (byte*)TensorMemory.Pointer(tensor) + (first * tensor.element_size());
}
