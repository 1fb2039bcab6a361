using Asft.Kernels.Cpu;

namespace Asft.Kernels;

/// <summary>
/// Room for what <see cref="ITokenLossKernel.Summarize"/> keeps of some rows until their gradient is made of it: see
/// <see cref="TokenGradient.Kept"/>. In host memory that takes some KiB a row and, for an exact divergence, for label smoothing or a softcap, and for
/// 16-bit logits, each, 4 bytes per logit (8 for float64); the policy's exponentials of other logits lie in the gradient's place. One may serve
/// for any number of calls, one after the other.
/// </summary>
public sealed unsafe class KeptExponentials : IDisposable
{
    private RowScratch? _memory;
    private byte* _rows;
    private nuint _rowBytes;
    private long _count;

    /// <summary>Creates one without any memory.</summary>
    public KeptExponentials()
    {
    }

    /// <summary>Makes room for rows.</summary>
    /// <param name="rows">How many.</param>
    /// <param name="rowBytes">Bytes of each.</param>
    /// <exception cref="OutOfMemoryException">The system refuses the memory.</exception>
    internal void Begin(long rows, nuint rowBytes)
    {
        _count = 0;
        nuint size = checked((nuint)rows * rowBytes);
        if (_memory is null || _memory.Size < size)
        {
            Dispose();
            _memory = RowScratch.Rent(size);
            _rows = _memory.Take<byte>((long)size);
        }

        _rowBytes = rowBytes;
        _count = rows;
    }

    /// <summary>What is kept is about to be used, for the only time.</summary>
    /// <param name="rows">Of how many rows.</param>
    /// <param name="name">What the caller calls the argument that brought it.</param>
    /// <exception cref="ArgumentException">It is not that of so many rows.</exception>
    internal void End(long rows, string name)
    {
        if (_count != rows)
        {
            throw new ArgumentException(Invariant($"Kept holds what Summarize kept of {_count} rows for their gradient, which is asked for of {rows}."), name);
        }

        _count = 0;
    }

    /// <summary>The memory of a row.</summary>
    internal byte* Row(long row) => _rows + ((nuint)row * _rowBytes);

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        _memory?.Return();
        _memory = null;
        _count = 0;
    }
}
