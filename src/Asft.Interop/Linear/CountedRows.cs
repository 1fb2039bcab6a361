using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The rows that count, by their place among all rows, and what there is of each besides hidden states. Only these take part in anything: what
/// an ignored row, or one of weight 0, would cost is not spent. As shapes follow from their number, labels and weights have to come to the host:
/// on a device, this waits for it, once. Their places go there and stay there.
/// </summary>
internal sealed class CountedRows : IDisposable
{
    private readonly long[] _places;
    private readonly Tensor _index;

    private CountedRows(long[] places, Tensor index, TokenInputs tokens, long total, long labelled, Tensor? tokenCount)
    {
        _places = places;
        _index = index.DetachFromDisposeScope();
        Tokens = tokens;
        Total = total;
        Labelled = labelled;
        TokenCount = tokenCount;
    }

    /// <summary>Number of all rows.</summary>
    public long Total { get; }

    /// <summary>Number of rows whose label is not ignored: what a mean is over.</summary>
    public long Labelled { get; }

    /// <summary>The caller's count of tokens, in host memory; null if there is none.</summary>
    public Tensor? TokenCount { get; }

    /// <summary>Number of counted rows.</summary>
    public long Count => _places.Length;

    /// <summary>Label, weight and the like of each counted row, where the hidden states are.</summary>
    public TokenInputs Tokens { get; }

    /// <summary>Places of all counted rows, as an index tensor where the hidden states are.</summary>
    public Tensor Places => _index.alias();

    /// <summary>Finds the rows that count. Makes tensors in the current dispose scope.</summary>
    /// <exception cref="ArgumentException">A label, or what was kept of a reference, has a value that is wrong.</exception>
    public static CountedRows Of(LinearArguments arguments)
    {
        Device device = arguments.Inputs.Hidden.device;
        TokenArguments onHost = arguments.Tokens.OnHost();
        using var all = TokenInputs.Of(onHost, arguments.Inputs.Accumulator);
        all.Check(onHost, arguments.Vocabulary);
        (long[] places, long labelled) = Find(all, onHost.Objective.IgnoreIndex);
        Tensor index = DeviceServices.Current.ToDevice(Create(places), device);
        using TokenInputs? onDevice = device.type == DeviceType.CPU ? null : TokenInputs.Of(arguments.Tokens, arguments.Inputs.Accumulator);
        return new CountedRows(places, index, (onDevice ?? all).Select(index), all.Count, labelled, onHost.TokenCount);
    }

    /// <summary>
    /// Writes the rows of some counted tokens one after the other.
    /// </summary>
    /// <param name="from">All rows, <c>[Total, d]</c>.</param>
    /// <param name="first">First counted token.</param>
    /// <param name="to">Where they go, <c>[count, d]</c>, of any dtype.</param>
    public void Gather(Tensor from, long first, Tensor to)
    {
        long count = to.size(0);
        to.copy_(IsRun(first, count) ? from.narrow(0, _places[first], count) : DeviceServices.Current.Rows(from, _index.narrow(0, first, count)));
    }

    /// <summary>The rows of some counted tokens where they lie without gaps, to be written to; null where they do not.</summary>
    public Tensor? Run(Tensor rows, long first, long count) => IsRun(first, count) ? rows.narrow(0, _places[first], count) : null;

    /// <summary>Writes rows to the places of some counted tokens.</summary>
    public void Scatter(Tensor from, long first, Tensor to) => to.index_copy_(0, _index.narrow(0, first, from.size(0)), from);

    /// <summary>Every counted token's value at the place of its label, and another value at the other labels.</summary>
    /// <param name="values">One for each counted token.</param>
    /// <param name="shape">Shape of the labels.</param>
    /// <param name="other">The other value.</param>
    public Tensor Spread(Tensor values, long[] shape, double other = 0)
    {
        Tensor all = full([Total], other, values.dtype, values.device);
        if (Count > 0)
        {
            Scatter(values, 0, all);
        }

        return all.view(shape);
    }

    /// <summary>Frees what there is of each row.</summary>
    public void Dispose()
    {
        Tokens.Dispose();
        _index.Dispose();
    }

    private bool IsRun(long first, long count) => _places[first + count - 1] - _places[first] == count - 1;

    private static unsafe (long[] Places, long Labelled) Find(TokenInputs all, long ignored)
    {
        List<long> places = [];
        long labelled = 0;
        for (long row = 0; row < all.Count; row++)
        {
            labelled += all.Labels.Pointer[row] == ignored ? 0 : 1;
            if (all.Counts(row, ignored))
            {
                places.Add(row);
            }
        }

        return ([.. places], labelled);
    }

    private static unsafe Tensor Create(ReadOnlySpan<long> values)
    {
        Tensor onHost = TensorMemory.Empty([values.Length], ScalarType.Int64, CPU);
        values.CopyTo(new Span<long>(TensorMemory.Pointer(onHost), values.Length));
        return onHost;
    }
}
