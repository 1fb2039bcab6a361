using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Memory;

/// <summary>
/// Finds uses of the same memory that nothing orders. Memory is watched in granules of the smallest access that the kernel has, so that
/// neighbours never share one. Per granule it keeps the last write and the last read, each as (segment, atomic, lane); a segment is what a
/// warp does between two synchronisations.
/// </summary>
/// <remarks>
/// Two uses by different threads are ordered if they are in one block and a barrier lies between, or in one warp and a bar.warp.sync of
/// both threads lies between. A shuffle or a vote orders nothing: it exchanges values of registers, and CUDA promises no more. What a thread
/// did before it arrived at a barrier of the cluster is ordered before what any thread of the cluster does once it has waited there. Other uses by
/// different blocks of a launch are never ordered. Unordered uses are a race if one of them writes and not both are atomic.
/// A read that follows another in order replaces it: whatever comes after the later read comes after the earlier one.
/// </remarks>
internal sealed unsafe class RaceChecks
{
    public const int LaneBits = 6;

    private const uint LaneMask = (1 << LaneBits) - 1;
    private const uint SeveralLanes = 32;
    private const uint Atomic = 1 << LaneBits;
    private const int SegmentShift = LaneBits + 1;
    private const int MostSegments = 1 << (32 - SegmentShift);
    private const int SeveralBlocks = 1; // the segment that stands for several blocks
    private const int SeveralWarps = -1;
    private const int Several = -1; // blocks, or clusters

    // lane of each granule of a warp's access, by granules per lane (1, 2, 4, 8, 16)
    private static readonly uint[][] Lanes = [.. Enumerable.Range(0, 5).Select(
        log => Enumerable.Range(0, 32 << log).Select(i => (uint)(i >> log)).ToArray())];

    private readonly int _globalShift;
    private readonly int _sharedShift;
    private Segment[] _segments = new Segment[256];
    private int _count = 2;
    private Segment _wide;
    private int _wideNumber;

    public RaceChecks(int smallestGlobal, int smallestShared)
    {
        _globalShift = System.Numerics.BitOperations.Log2((uint)smallestGlobal);
        _sharedShift = System.Numerics.BitOperations.Log2((uint)smallestShared);
        _segments[SeveralBlocks] = new Segment(Several, 0, SeveralWarps, 0, Several, int.MaxValue);
    }

    public int ShiftOf(Region region) => region.IsShared ? _sharedShift : _globalShift;

    /// <summary>
    /// Uses by all lanes of a warp that lie side by side. False when it cannot tell: then each lane is to be checked for itself.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool SideBySide(Warp warp, Region region, ulong address, int bytes, bool writes)
    {
        var shift = ShiftOf(region);
        var log = System.Numerics.BitOperations.Log2((uint)bytes) - shift;
        var granules = 32 << log;
        var first = address - (region.Start & ~0xFul) >> shift;
        region.StartReaders(shift);
        if (writes)
        {
            region.StartWriters(shift);
        }

        fixed (uint* lanes = Lanes[log])
        {
            if (region.Writers != null && !AllOwn(warp, region.Writers + first, lanes, granules)
                || !AllOwn(warp, region.Readers + first, lanes, granules))
            {
                return false;
            }

            var own = Vector256.Create((uint)SegmentOf(warp) << SegmentShift);
            var target = (writes ? region.Writers : region.Readers) + first;
            for (var i = 0; i < granules; i += 8)
            {
                (Vector256.Load(lanes + i) | own).Store(target + i);
            }
        }

        return true;
    }

    // Whether every entry is empty, or all are of one segment that is ordered before now, or of the very threads that use them now.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool AllOwn(Warp warp, uint* entries, uint* lanes, int count)
    {
        var segment = entries[0] >> SegmentShift;
        var different = Vector256<uint>.Zero;
        var pattern = Vector256.Create(segment << SegmentShift);
        if (segment == 0)
        {
            for (var i = 0; i < count; i += 8)
            {
                different |= Vector256.Load(entries + i);
            }

            return different == Vector256<uint>.Zero;
        }

        ref var earlier = ref _segments[segment];
        if (earlier.Block != warp.Block.Index)
        {
            return false;
        }

        if (earlier.Epoch < warp.Block.Epoch || earlier.Warp == warp.Index && earlier.Time < warp.SynchronizedBefore(32, 0))
        {
            for (var i = 0; i < count; i += 8)
            {
                different |= (Vector256.Load(entries + i) ^ pattern) >> SegmentShift;
            }
        }
        else if (earlier.Warp == warp.Index)
        {
            for (var i = 0; i < count; i += 8)
            {
                different |= Vector256.Load(entries + i) ^ (Vector256.Load(lanes + i) | pattern);
            }
        }
        else
        {
            return false;
        }

        return different == Vector256<uint>.Zero;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Read(Warp warp, int lane, Region region, ulong address, int bytes, bool atomic)
    {
        var shift = ShiftOf(region);
        region.StartReaders(shift);
        var first = address - (region.Start & ~0xFul) >> shift;
        var own = ((uint)SegmentOf(warp) << SegmentShift) | (uint)lane | (atomic ? Atomic : 0);
        for (var i = first; i < first + (ulong)(bytes >> shift); i++)
        {
            if (region.Writers != null)
            {
                var write = region.Writers[i];
                if (write != 0 && !IsOrdered(write, warp, lane) && !(atomic && (write & Atomic) != 0))
                {
                    Fault(warp, lane, region, address, write, "reads", "wrote");
                }
            }

            var read = region.Readers[i];
            region.Readers[i] = read == 0 || IsOrdered(read, warp, lane) ? own : Merge(read, own, warp);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Write(Warp warp, int lane, Region region, ulong address, int bytes, bool atomic)
    {
        var shift = ShiftOf(region);
        region.StartWriters(shift);
        var first = address - (region.Start & ~0xFul) >> shift;
        var own = ((uint)SegmentOf(warp) << SegmentShift) | (uint)lane | (atomic ? Atomic : 0);
        for (var i = first; i < first + (ulong)(bytes >> shift); i++)
        {
            var write = region.Writers[i];
            var ordered = write == 0 || IsOrdered(write, warp, lane);
            if (!ordered && !(atomic && (write & Atomic) != 0))
            {
                Fault(warp, lane, region, address, write, "writes", "wrote");
            }

            if (region.Readers != null)
            {
                var read = region.Readers[i];
                if (read != 0 && !IsOrdered(read, warp, lane) && !(atomic && (read & Atomic) != 0))
                {
                    Fault(warp, lane, region, address, read, "writes", "read");
                }
            }

            region.Writers[i] = ordered ? own : Merge(write, own, warp);
        }
    }

    // Whether what an entry tells of happened before what this lane does now, in an order that the program enforces.
    private bool IsOrdered(uint entry, Warp warp, int lane)
    {
        ref var earlier = ref _segments[entry >> SegmentShift];
        var block = warp.Block;
        if (earlier.Cluster == block.Cluster.Index && earlier.Arrived < warp.Waited)
        {
            return true;
        }

        if (earlier.Block != block.Index)
        {
            return false;
        }

        if (earlier.Warp != warp.Index)
        {
            return earlier.Epoch < block.Epoch;
        }

        var other = entry & LaneMask;
        return other == (uint)lane || earlier.Time < warp.SynchronizedBefore((int)other, lane);
    }

    // One entry for two unordered uses: the narrowest group that holds both.
    private uint Merge(uint earlier, uint own, Warp warp)
    {
        ref var segment = ref _segments[earlier >> SegmentShift];
        var atomic = earlier & own & Atomic;
        var block = warp.Block;
        if (segment.Cluster != block.Cluster.Index)
        {
            return (SeveralBlocks << SegmentShift) | SeveralLanes | atomic;
        }

        var arrived = Math.Max(segment.Arrived, warp.Arrived);
        return segment.Block == block.Index && segment.Warp == warp.Index
            ? (own & ~(LaneMask | Atomic)) | SeveralLanes | atomic
            : Wide(new Segment(segment.Block == block.Index ? block.Index : Several, block.Epoch, SeveralWarps, 0, segment.Cluster, arrived)) | SeveralLanes | atomic;
    }

    // The segment that stands for several warps of a block since its last barrier, or for several blocks of a cluster.
    private uint Wide(Segment segment)
    {
        if (_wide != segment || _wideNumber == 0)
        {
            (_wide, _wideNumber) = (segment, NewSegment(segment));
        }

        return (uint)_wideNumber << SegmentShift;
    }

    private int SegmentOf(Warp warp)
    {
        if (warp.Segment == 0)
        {
            warp.Segment = NewSegment(
                new Segment(warp.Block.Index, warp.Block.Epoch, warp.Index, warp.Time, warp.Block.Cluster.Index, warp.Arrived));
        }

        return warp.Segment;
    }

    private int NewSegment(Segment segment)
    {
        if (_count == _segments.Length)
        {
            if (_count == MostSegments)
            {
                throw new InvalidOperationException(
                    $"One launch has more than {MostSegments} stretches between synchronisations, too many for the race checks.");
            }

            Array.Resize(ref _segments, _segments.Length * 2);
        }

        _segments[_count] = segment;
        return _count++;
    }

    private void Fault(Warp warp, int lane, Region region, ulong address, uint entry, string does, string did)
    {
        ref var earlier = ref _segments[entry >> SegmentShift];
        var sameBlock = earlier.Block == warp.Block.Index;
        var who = earlier.Warp == SeveralWarps || (entry & LaneMask) == SeveralLanes
            ? "several threads"
            : $"thread {earlier.Warp * 32 + (entry & LaneMask)}";
        who += sameBlock
            ? " of the block"
            : earlier.Block < 0 ? " of several blocks" : $" of block {warp.Block.PlaceOf(earlier.Block)}";
        throw warp.Fault(
            sameBlock ? PtxFaultKind.Race : PtxFaultKind.BlockRace, lane, address,
            $"it {does} what {who} {did}, and {(sameBlock || earlier.Cluster == warp.Block.Cluster.Index && warp.Block.Cluster.Size > 1 ? "no barrier lies between" : "blocks of a launch run in any order")}, in {region.Name}");
    }

    /// <summary>What a warp of a block did after so many of the block's barriers, of its own synchronisations and of its arrivals at the cluster's.</summary>
    private readonly record struct Segment(int Block, int Epoch, int Warp, int Time, int Cluster, int Arrived);
}
