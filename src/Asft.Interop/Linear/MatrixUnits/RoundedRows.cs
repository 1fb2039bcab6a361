using Asft.Kernels;
using Asft.Kernels.Cpu;

namespace Asft.Interop;

/// <summary>Rows of float32 that become bfloat16 where they are, each in the first half of its memory.</summary>
internal sealed unsafe class RoundedRows(float* rows, long stride, long columns) : IRowLoopBody
{
    /// <summary>Rounds them.</summary>
    public void Run(long count) => ParallelRowLoop.Run(this, count, batch: 1, TorchTeam.Instance, TorchTeam.Instance.Threads);

    /// <inheritdoc/>
    public void Run(ParallelRowLoop loop)
    {
        while (loop.TryTake(out long row, out _))
        {
            float* start = rows + (row * stride);
            BlockConversion.Narrow(start, start, ElementType.BFloat16, (int)columns);
            if (columns % 2 != 0)
            {
                ((ushort*)start)[columns] = 0; // operands of products have pairs of columns
            }
        }
    }
}
