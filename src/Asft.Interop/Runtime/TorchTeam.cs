using System.Diagnostics;
using System.Runtime.InteropServices;
using Asft.Kernels.Cpu;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The threads that torch runs its own operations with, those of OpenMP. After an operation they wait for the next for some milliseconds,
/// busily, with a processor each: they begin at once, where a thread of .NET's would have no processor to begin on.
/// </summary>
/// <remarks>
/// <para>
/// <c>GOMP_parallel</c> is what compilers make of a parallel region. Each calling thread has threads of its own; within a region, it is alone.
/// </para>
/// <para>
/// A region ends when its last thread has been there. Where other programs keep a processor busy, that takes some milliseconds, so once a thread
/// has come late, .NET's threads do the work for a while, which nobody waits for.
/// </para>
/// </remarks>
internal sealed unsafe class TorchTeam : ThreadTeam
{
    private static readonly PoolTeam s_pool = new(get_num_threads);
    private static readonly long s_late = Stopwatch.Frequency / 1000; // far longer than it takes to wake up
    private static readonly long s_while = Stopwatch.Frequency / 10;

    private readonly delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void> _parallel;
    private long _poolUntil;

    private TorchTeam(nint parallel) =>
        _parallel = (delegate* unmanaged<delegate* unmanaged<void*, void>, void*, uint, uint, void>)parallel;

    /// <summary>The team; of .NET's threads where torch's OpenMP has another interface, as on Windows.</summary>
    public static ThreadTeam Instance { get; } = LibTorch.Find("GOMP_parallel", "GOMP_parallel") is var parallel and not 0
        ? new TorchTeam(parallel)
        : s_pool;

    /// <inheritdoc/>
    public override int Threads => s_pool.Threads;

    /// <inheritdoc/>
    public override void Run(ParallelRowLoop loop, int threads)
    {
        const uint All = 0; // OpenMP ends threads that a smaller team has no use for, and torch's next operation would have to start them again

        long now = Stopwatch.GetTimestamp();
        if (now < Volatile.Read(ref _poolUntil))
        {
            s_pool.Run(loop, threads);
            return;
        }

        var handle = GCHandle.Alloc(loop);
        Call call = new() { Loop = GCHandle.ToIntPtr(handle), Places = threads, LateFrom = now + s_late };
        try
        {
            _parallel(&Join, &call, All, 0);
        }
        finally
        {
            handle.Free();
        }

        if (call.WasLate)
        {
            Volatile.Write(ref _poolUntil, Stopwatch.GetTimestamp() + s_while);
        }
    }

    [UnmanagedCallersOnly]
    private static void Join(void* data)
    {
        var call = (Call*)data;
        if (Stopwatch.GetTimestamp() > call->LateFrom)
        {
            call->WasLate = true;
        }

        if (Interlocked.Decrement(ref call->Places) >= 0)
        {
            ((ParallelRowLoop)GCHandle.FromIntPtr(call->Loop).Target!).Work();
        }
    }

    private struct Call
    {
        public nint Loop;
        public int Places;
        public long LateFrom;
        public bool WasLate;
    }
}
