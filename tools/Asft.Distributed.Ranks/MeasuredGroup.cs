using System.Runtime.InteropServices;
using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed.Ranks;

/// <summary>
/// Another group, with counts of what goes through it. To measure what a rank does on its own, it can leave the exchange of states out, and take
/// every rank for one that has what this one has: no clock, which may take microseconds, has to run at each then.
/// </summary>
internal sealed unsafe partial class MeasuredGroup(IProcessGroup group) : IProcessGroup
{
    public int Rank => group.Rank;

    public int Size => group.Size;

    public bool IsOnDevice => group.IsOnDevice;

    /// <summary>Whether all but the first collective, in which ranks agree, exchange nothing.</summary>
    public bool IsAlone { get; set; }

    /// <summary>Collectives.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes that this rank gave.</summary>
    public long Bytes { get; private set; }

    /// <summary>Milliseconds of this thread's processor time in the first collective.</summary>
    public double Milliseconds { get; private set; }

    /// <summary>The processor time of this thread so far, in milliseconds.</summary>
    public static double ThreadMilliseconds
    {
        get
        {
            const int ThreadCpuTime = 3;
            long* time = stackalloc long[2];
            _ = ClockGetTime(ThreadCpuTime, time);
            return (time[0] * 1e3) + (time[1] / 1e6);
        }
    }

    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation) => group.AllReduce(data, count, type, operation);

    public void AllGather(void* own, void* all, long bytes)
    {
        Count++;
        Bytes += bytes;
        if (!IsAlone)
        {
            group.AllGather(own, all, bytes);
        }
        else if (Count > 1)
        {
            for (int rank = 0; rank < Size; rank++)
            {
                Buffer.MemoryCopy(own, (byte*)all + (rank * bytes), bytes, bytes);
            }
        }
        else
        {
            double before = ThreadMilliseconds;
            group.AllGather(own, all, bytes);
            Milliseconds = ThreadMilliseconds - before;
        }
    }

    public void Broadcast(void* data, long bytes, int root) => group.Broadcast(data, bytes, root);

    public void Barrier() => group.Barrier();

    public void Complete() => group.Complete();

    public void Dispose() => group.Dispose();

    /// <summary>Begins to count anew.</summary>
    public void Reset() => (Count, Bytes, Milliseconds) = (0, 0, 0);

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, long* time);
}
