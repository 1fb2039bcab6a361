using System.Runtime.InteropServices;
using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed.Ranks;

/// <summary>Another group, with counts of what goes through it and the processor time that it takes.</summary>
internal sealed unsafe partial class MeasuredGroup(IProcessGroup group) : IProcessGroup
{
    public int Rank => group.Rank;

    public int Size => group.Size;

    public bool IsOnDevice => group.IsOnDevice;

    /// <summary>Collectives.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes that this rank gave.</summary>
    public long Bytes { get; private set; }

    /// <summary>Milliseconds of this thread's processor time in them, which for the most part is waiting.</summary>
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

    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation) =>
        Measure(count * type.SizeInBytes(), () => group.AllReduce(data, count, type, operation));

    public void AllGather(void* own, void* all, long bytes) => Measure(bytes, () => group.AllGather(own, all, bytes));

    public void Broadcast(void* data, long bytes, int root) => Measure(bytes, () => group.Broadcast(data, bytes, root));

    public void Barrier() => Measure(0, group.Barrier);

    public void Complete() => group.Complete();

    public void Dispose() => group.Dispose();

    /// <summary>Begins to count anew.</summary>
    public void Reset() => (Count, Bytes, Milliseconds) = (0, 0, 0);

    private void Measure(long bytes, Action collective)
    {
        double before = ThreadMilliseconds;
        collective();
        Milliseconds += ThreadMilliseconds - before;
        Count++;
        Bytes += bytes;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ClockGetTime(int clock, long* time);
}
