using System.Runtime.Intrinsics.X86;
using Asft.Kernels.Cpu;

namespace Asft.Interop;

/// <summary>A product of matrices, made by a few threads; each takes one stripe of the results after the other, with memory of its own.</summary>
/// <remarks>Every result is a sum in an order that depends on the sizes alone: the same bits on any number of threads.</remarks>
internal abstract unsafe class TileLoop : IRowLoopBody
{
    /// <summary>Bytes of memory that a thread needs.</summary>
    protected abstract long ScratchBytes { get; }

    /// <summary>How many pieces of a size it takes to cover all.</summary>
    public static long Pieces(long all, long size) => (all + size - 1) / size;

    /// <inheritdoc/>
    public void Run(ParallelRowLoop rows)
    {
        RowScratch scratch = rows.Rent((nuint)ScratchBytes);
        try
        {
            byte* memory = scratch.Take<byte>(ScratchBytes);
            while (rows.TryTake(out long first, out long end))
            {
                for (long stripe = first; stripe < end; stripe++)
                {
                    Make(stripe, hasNext: stripe + 1 < end, memory);
                }
            }
        }
        finally
        {
            Sse.StoreFence(); // results may have gone past the caches
            BFloat16Units.Release();
            scratch.Return();
        }
    }

    /// <summary>Makes all stripes.</summary>
    protected void Run(long stripes)
    {
        const int BatchesPerThread = 8;
        const int LargestBatch = 8;
        int threads = TorchTeam.Instance.Threads;
        ParallelRowLoop.Run(this, stripes, Math.Clamp(stripes / (threads * BatchesPerThread), 1, LargestBatch), TorchTeam.Instance, threads);
    }

    /// <summary>Makes a stripe.</summary>
    /// <param name="stripe">Which.</param>
    /// <param name="hasNext">The thread will make the next one, too: what it reads may be asked for.</param>
    /// <param name="scratch">Memory that nobody else uses.</param>
    protected abstract void Make(long stripe, bool hasNext, byte* scratch);

    /// <summary>Asks for a part of a matrix that will be read soon, while something else is computed.</summary>
    /// <param name="start">First element of the part.</param>
    /// <param name="stride">Distance of two rows, in elements.</param>
    /// <param name="rows">Rows of the part.</param>
    /// <param name="columns">Columns of it.</param>
    protected static void Ask(ushort* start, long stride, long rows, long columns)
    {
        for (long row = 0; row < rows; row++)
        {
            Prefetch.Stretch(start + (row * stride), columns * sizeof(ushort));
        }
    }
}
