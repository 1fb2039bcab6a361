using System.Runtime.Intrinsics;
using Asft.Kernels.Cpu;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>A product of matrices, made by a few threads; each takes one stripe of the results after the other, with memory of its own.</summary>
/// <remarks>Every result is a sum in an order that depends on the sizes alone: the same bits on any number of threads.</remarks>
internal abstract unsafe class TileLoop : IRowLoopBody
{
    protected const int Rows = BFloat16Units.TileRows;
    protected const int Columns = BFloat16Units.TileColumns;
    protected const int TileSize = Rows * Columns;

    /// <summary>Bytes of memory that a thread needs.</summary>
    protected abstract long ScratchBytes { get; }

    /// <summary>How many tiles of a size it takes to cover all.</summary>
    public static long Tiles(long all, long size) => (all + size - 1) / size;

    /// <summary>Makes all stripes.</summary>
    public void Run(long stripes) => ParallelRowLoop.Run(this, stripes, batch: 1, get_num_threads());

    /// <inheritdoc/>
    public void Run(ParallelRowLoop rows)
    {
        RowScratch scratch = rows.Rent((nuint)ScratchBytes);
        try
        {
            byte* memory = scratch.Take<byte>(ScratchBytes);
            while (rows.TryTake(out long stripe, out _))
            {
                Make(stripe, memory);
            }
        }
        finally
        {
            BFloat16Units.Release();
            scratch.Return();
        }
    }

    /// <summary>Makes a stripe.</summary>
    /// <param name="stripe">Which.</param>
    /// <param name="scratch">Memory that nobody else uses.</param>
    protected abstract void Make(long stripe, byte* scratch);

    /// <summary>Fills a tile with what is there already.</summary>
    protected static void Load(float* from, long stride, long rows, long columns, float* tile)
    {
        for (long row = 0; row < rows; row++)
        {
            Copy(from + (row * stride), tile + (row * Columns), columns);
        }
    }

    /// <summary>Writes the part of a tile that is there.</summary>
    protected static void Store(float* tile, float* to, long stride, long rows, long columns)
    {
        for (long row = 0; row < rows; row++)
        {
            Copy(tile + (row * Columns), to + (row * stride), columns);
        }
    }

    private static void Copy(float* from, float* to, long count)
    {
        if (count == Columns)
        {
            for (int i = 0; i < Columns; i += Vector512<float>.Count)
            {
                Vector512.Load(from + i).Store(to + i);
            }
        }
        else
        {
            new ReadOnlySpan<float>(from, (int)count).CopyTo(new Span<float>(to, (int)count));
        }
    }
}
