using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Where in memory the rows <c>[..., V]</c> of a tensor lie, without the tensor.</summary>
internal sealed unsafe class RowMemory
{
    private readonly nint _first;
    private readonly long[] _sizes;
    private readonly long[] _strides; // in bytes
    private readonly long _rowBytes;

    /// <summary>The rows of a tensor with at least one dimension.</summary>
    public RowMemory(Tensor tensor)
    {
        long element = tensor.element_size();
        long[] strides = tensor.stride();
        _first = (nint)TensorMemory.Pointer(tensor);
        Storage = _first == 0 ? 0 : _first - (nint)(tensor.storage_offset() * element);
        _sizes = tensor.shape[..^1];
        _strides = [.. strides[..^1].Select(stride => stride * element)];
        _rowBytes = (((tensor.size(-1) - 1) * strides[^1]) + 1) * element;
    }

    /// <summary>Address of the memory that views share; 0 where there is none to look at.</summary>
    public nint Storage { get; }

    private long End => _first + _sizes.Zip(_strides, (size, stride) => (size - 1) * stride).Sum() + _rowBytes;

    /// <summary>Whether a byte belongs to rows of both; exactly so where rows are contiguous.</summary>
    public bool Meets(RowMemory other)
    {
        if (Storage == 0 || Storage != other.Storage || _first >= other.End || other._first >= End)
        {
            return false;
        }

        long[] mine = Starts();
        long[] theirs = other.Starts();
        int next = 0;
        foreach (long start in mine)
        {
            while (next < theirs.Length && theirs[next] + other._rowBytes <= start)
            {
                next++;
            }

            if (next < theirs.Length && theirs[next] < start + _rowBytes)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Where rows begin, in ascending order.</summary>
    private long[] Starts()
    {
        long[] starts = [_first];
        for (int i = 0; i < _sizes.Length; i++)
        {
            long stride = _strides[i];
            long size = _sizes[i];
            starts = [.. starts.SelectMany(start => Enumerable.Range(0, (int)size).Select(j => start + (j * stride)))];
        }

        Array.Sort(starts);
        return starts;
    }
}
