namespace Asft.Kernels;

/// <summary>
/// Rows of V logits somewhere in memory (of the host or of a device, as the kernel expects). Each row is contiguous; where a row
/// begins is given by a constant stride or, for rows that no single stride reaches, by an array of offsets.
/// </summary>
public readonly unsafe struct LogitMatrix
{
    /// <summary>Rows at a constant distance.</summary>
    /// <param name="data">First element of row 0.</param>
    /// <param name="type">Storage of one element.</param>
    /// <param name="rowStride">Distance between the beginnings of two rows, in elements.</param>
    public LogitMatrix(void* data, ElementType type, long rowStride)
    {
        Data = data;
        Type = type;
        RowStride = rowStride;
    }

    /// <summary>Rows at any place.</summary>
    /// <param name="data">The address that offsets count from.</param>
    /// <param name="type">Storage of one element.</param>
    /// <param name="rowOffsets">For each row, the offset of its first element from <paramref name="data"/>, in elements.</param>
    public LogitMatrix(void* data, ElementType type, long* rowOffsets)
    {
        Data = data;
        Type = type;
        RowOffsets = rowOffsets;
    }

    /// <summary>The address that row positions count from; null when there is no such matrix.</summary>
    public void* Data { get; }

    /// <summary>Storage of one element.</summary>
    public ElementType Type { get; }

    /// <summary>Distance between the beginnings of two rows, in elements. Not used when <see cref="RowOffsets"/> is given.</summary>
    public long RowStride { get; }

    /// <summary>For each row, the offset of its first element from <see cref="Data"/>, in elements; null for a constant stride.</summary>
    public long* RowOffsets { get; }

    /// <summary>True when there is no matrix here.</summary>
    public bool IsNull => Data == null;

    /// <summary>Address of the first element of a row, computed in 64 bits.</summary>
    /// <param name="row">Index of the row.</param>
    /// <returns>The address.</returns>
    public void* Row(long row) => (byte*)Data + ((RowOffsets == null ? row * RowStride : RowOffsets[row]) * Type.SizeInBytes());
}
