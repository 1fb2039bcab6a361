using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The rows that count, by their place among all rows, and their labels. Only these take part in anything: what an ignored row
/// would cost is not spent. As shapes follow from their number, the labels have to come to the host: on a device, this waits for it.
/// </summary>
internal sealed class CountedRows
{
    private readonly long[] _places;
    private readonly long[] _labels;

    private CountedRows(long[] places, long[] labels, long total)
    {
        _places = places;
        _labels = labels;
        Total = total;
    }

    /// <summary>Number of all rows.</summary>
    public long Total { get; }

    /// <summary>Number of counted rows.</summary>
    public long Count => _places.Length;

    /// <summary>Finds the rows that count.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither in <c>[0, V)</c> nor the ignore index.</exception>
    public static unsafe CountedRows Of(LinearArguments arguments)
    {
        long ignored = arguments.Objective.IgnoreIndex;
        using Tensor onHost = arguments.Labels.cpu(); // itself, if it is there already
        using RowLabels rows = RowLabels.Of(onHost, arguments.ShiftLabels, ignored);
        rows.Check(arguments.ShiftLabels, arguments.Inputs.Vocabulary, ignored);
        List<long> places = [];
        List<long> labels = [];
        long* label = rows.Pointer;
        long total = rows.Count;
        for (long row = 0; row < total; row++)
        {
            if (label[row] != ignored)
            {
                places.Add(row);
                labels.Add(label[row]);
            }
        }

        return new CountedRows([.. places], [.. labels], total);
    }

    /// <summary>Label of each counted row, as a tensor.</summary>
    public Tensor Labels(Device device) => Create(_labels, device);

    /// <summary>Places of all counted rows, as an index tensor.</summary>
    public Tensor Places(Device device) => Places(0, Count, device);

    /// <summary>
    /// Writes the rows of some counted tokens one after the other.
    /// </summary>
    /// <param name="from">All rows, <c>[Total, d]</c>.</param>
    /// <param name="first">First counted token.</param>
    /// <param name="to">Where they go, <c>[count, d]</c>, of any dtype.</param>
    public void Gather(Tensor from, long first, Tensor to)
    {
        long count = to.size(0);
        to.copy_(IsRun(first, count) ? from.narrow(0, _places[first], count) : from.index_select(0, Places(first, count, from.device)));
    }

    /// <summary>The rows of some counted tokens where they lie without gaps, to be written to; null where they do not.</summary>
    public Tensor? Run(Tensor rows, long first, long count) => IsRun(first, count) ? rows.narrow(0, _places[first], count) : null;

    /// <summary>Writes rows to the places of some counted tokens.</summary>
    public void Scatter(Tensor from, long first, Tensor to) => to.index_copy_(0, Places(first, from.size(0), to.device), from);

    private bool IsRun(long first, long count) => _places[first + count - 1] - _places[first] == count - 1;

    private Tensor Places(long first, long count, Device device) => Create(_places.AsSpan((int)first, (int)count), device);

    private static unsafe Tensor Create(ReadOnlySpan<long> values, Device device)
    {
        Tensor onHost = TensorMemory.Empty([values.Length], ScalarType.Int64, CPU);
        values.CopyTo(new Span<long>(TensorMemory.Pointer(onHost), values.Length));
        return device.type == DeviceType.CPU ? onHost : onHost.to(device);
    }
}
