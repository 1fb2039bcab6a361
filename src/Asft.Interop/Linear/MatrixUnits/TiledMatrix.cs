using System.Runtime.Intrinsics;
using Asft.Kernels.Cpu;

namespace Asft.Interop;

/// <summary>
/// A matrix of float32 that products read and write a tile at a time. Of the tiles at its edges, only what lies inside is there.
/// </summary>
/// <param name="start">The first element.</param>
/// <param name="stride">Distance of two rows, in elements.</param>
/// <param name="rows">Rows.</param>
/// <param name="columns">Columns.</param>
internal readonly unsafe struct TiledMatrix(float* start, long stride, long rows, long columns)
{
    /// <summary>Rows of a tile.</summary>
    public const int TileRows = BFloat16Units.TileRows;

    /// <summary>Columns of a tile.</summary>
    public const int TileColumns = BFloat16Units.TileColumns;

    /// <summary>Elements of a tile.</summary>
    public const int TileSize = TileRows * TileColumns;

    /// <summary>Bytes of a matrix that no cache keeps until somebody reads it: it is written past the caches, without being read first.</summary>
    private const long Large = 8 << 20;

    private readonly bool _streamed = rows * stride * sizeof(float) >= Large
        && (nint)start % Prefetch.Line == 0 && stride * sizeof(float) % Prefetch.Line == 0;

    /// <summary>Fills a tile with what is there.</summary>
    public void Load(long row, long column, float* tile)
    {
        float* from = At(row, column, out int present, out int width);
        for (int i = 0; i < present; i++)
        {
            Copy(from + (i * stride), tile + (i * TileColumns), width, streamed: false);
        }
    }

    /// <summary>Writes a tile.</summary>
    public void Store(float* tile, long row, long column)
    {
        float* to = At(row, column, out int present, out int width);
        for (int i = 0; i < present; i++)
        {
            Copy(tile + (i * TileColumns), to + (i * stride), width, _streamed);
        }
    }

    /// <summary>Asks for the memory of a tile that will be loaded soon.</summary>
    public void Ask(long row, long column)
    {
        float* from = At(row, column, out int present, out int width);
        for (int i = 0; i < present; i++)
        {
            Prefetch.Stretch(from + (i * stride), width * sizeof(float));
        }
    }

    private float* At(long row, long column, out int present, out int width)
    {
        present = (int)Math.Clamp(rows - row, 0, TileRows);
        width = (int)Math.Clamp(columns - column, 0, TileColumns);
        return start + (row * stride) + column;
    }

    private static void Copy(float* from, float* to, int count, bool streamed)
    {
        if (count < TileColumns)
        {
            new ReadOnlySpan<float>(from, count).CopyTo(new Span<float>(to, count));
            return;
        }

        for (int i = 0; i < TileColumns; i += Vector512<float>.Count)
        {
            Vector512<float> values = Vector512.Load(from + i);
            if (streamed)
            {
                values.StoreAlignedNonTemporal(to + i);
            }
            else
            {
                values.Store(to + i);
            }
        }
    }
}
