using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Memory;

internal enum AccessKind
{
    Read,
    Write,

    /// <summary>A read or write that may meet others of its kind.</summary>
    AtomicRead,
    AtomicWrite,

    /// <summary>An atomic operation: reads and writes.</summary>
    AtomicUpdate,
}

/// <summary>Checks and counts the accesses of a launch, a warp's instruction at a time.</summary>
internal sealed unsafe class AccessChecks(
    MachineMemory memory, LaunchCounts counts, RaceChecks? races, bool initialization, bool counting)
{
    private readonly ulong[] _sectors = new ulong[32];
    private readonly uint[] _sectorBytes = new uint[32];
    private readonly ulong[] _words = new ulong[128];
    private readonly int[] _bankOf = new int[128];

    /// <summary>Checks that each lane of the mask may use so many bytes at its address, and counts it.</summary>
    /// <returns>Whether the lanes are all there and lie side by side.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool Access(Warp warp, ulong* addresses, uint mask, int bytes, AccessKind kind, Region? shared = null)
    {
        var isShared = shared is not null;
        var reads = kind is AccessKind.Read or AccessKind.AtomicRead or AccessKind.AtomicUpdate;
        var writes = kind is AccessKind.Write or AccessKind.AtomicWrite or AccessKind.AtomicUpdate;
        var atomic = kind >= AccessKind.AtomicRead;
        if (mask == uint.MaxValue && !atomic && AreSideBySide(addresses, bytes))
        {
            var first = addresses[0];
            var region = shared ?? memory.Find(first);
            if (region is not null && region.Contains(first, 32L * bytes) && first % (ulong)bytes == 0
                && !(writes && region.IsReadOnly)
                && (!reads || !initialization || region.Written == null || region.IsWritten(first, 32L * bytes))
                && (races is null || races.SideBySide(warp, region, first, bytes, writes)))
            {
                if (writes && region.Written != null)
                {
                    region.MarkWritten(first, 32L * bytes);
                }

                if (counting && !isShared)
                {
                    CountSideBySide(region, first, bytes, writes);
                }

                return true;
            }
        }

        EachLane(warp, addresses, mask, bytes, reads, writes, atomic, shared);
        return false;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool AreSideBySide(ulong* addresses, int bytes)
    {
        var step = (ulong)bytes;
        var expected = Vector256.Create(addresses[0]) + Vector256.Create(0, step, 2 * step, 3 * step);
        var different = Vector256<ulong>.Zero;
        for (var lane = 0; lane < 32; lane += 4)
        {
            different |= Vector256.Load(addresses + lane) ^ expected;
            expected += Vector256.Create(4 * step);
        }

        return different == Vector256<ulong>.Zero;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void EachLane(Warp warp, ulong* addresses, uint mask, int bytes, bool reads, bool writes, bool atomic, Region? shared)
    {
        var isShared = shared is not null;
        var sectors = 0;
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            var address = addresses[lane];
            var region = shared ?? memory.Find(address);
            if (region is null || !region.Contains(address, bytes))
            {
                throw warp.Fault(PtxFaultKind.OutOfBounds, lane, address, OutOfBounds(region, address, bytes, writes));
            }

            if (address % (ulong)bytes != 0)
            {
                throw warp.Fault(
                    PtxFaultKind.Misaligned, lane, address,
                    $"{bytes} bytes at an address that is no multiple of {bytes}, in {region.Name}");
            }

            if (writes && region.IsReadOnly)
            {
                throw warp.Fault(PtxFaultKind.ReadOnly, lane, address, $"a write to constant memory, {region.Name}");
            }

            if (reads && initialization && region.Written != null && !region.IsWritten(address, bytes))
            {
                throw warp.Fault(
                    PtxFaultKind.UninitializedMemory, lane, address,
                    $"nothing has written all of these {bytes} bytes, at {address - region.Start} in {region.Name}");
            }

            if (races is not null)
            {
                if (writes)
                {
                    races.Write(warp, lane, region, address, bytes, atomic);
                }
                else
                {
                    races.Read(warp, lane, region, address, bytes, atomic);
                }
            }

            if (writes && region.Written != null)
            {
                region.MarkWritten(address, bytes);
            }

            if (counting && !isShared && !region.IsReadOnly)
            {
                sectors = AddSector(sectors, address, bytes);
                if (reads)
                {
                    region.MarkSectorsRead(address, bytes);
                    counts.GlobalBytesRead += bytes;
                }

                if (writes)
                {
                    region.MarkSectorsWritten(address, bytes);
                    counts.GlobalBytesWritten += bytes;
                }
            }
        }

        if (counting && isShared)
        {
            counts.BankConflicts += Conflicts(addresses, mask, bytes);
        }

        if (sectors == 0)
        {
            return;
        }

        var useful = 0;
        for (var i = 0; i < sectors; i++)
        {
            useful += BitOperations.PopCount(_sectorBytes[i]);
        }

        if (writes)
        {
            counts.GlobalStoreRequests++;
            counts.GlobalStoreSectors += sectors;
            counts.GlobalStoreUsefulBytes += useful;
        }
        else
        {
            counts.GlobalLoadRequests++;
            counts.GlobalLoadSectors += sectors;
            counts.GlobalLoadUsefulBytes += useful;
        }
    }

    private void CountSideBySide(Region region, ulong first, int bytes, bool writes)
    {
        if (region.IsReadOnly)
        {
            return;
        }

        var all = 32L * bytes;
        var sectors = (long)((first + (ulong)all - 1 >> 5) - (first >> 5) + 1);
        if (writes)
        {
            region.MarkSectorsWritten(first, all);
            counts.GlobalStoreRequests++;
            counts.GlobalStoreSectors += sectors;
            counts.GlobalStoreUsefulBytes += all;
            counts.GlobalBytesWritten += all;
        }
        else
        {
            region.MarkSectorsRead(first, all);
            counts.GlobalLoadRequests++;
            counts.GlobalLoadSectors += sectors;
            counts.GlobalLoadUsefulBytes += all;
            counts.GlobalBytesRead += all;
        }
    }

    private int AddSector(int count, ulong address, int bytes)
    {
        var sector = address >> 5;
        var used = (bytes == 32 ? uint.MaxValue : (1u << bytes) - 1) << (int)(address & 31);
        for (var i = count - 1; i >= 0; i--)
        {
            if (_sectors[i] == sector)
            {
                _sectorBytes[i] |= used;
                return count;
            }
        }

        (_sectors[count], _sectorBytes[count]) = (sector, used);
        return count + 1;
    }

    // A pass serves 32 banks of 4 bytes, each with one word that any number of threads may read: so a warp needs at least one pass for
    // accesses up to 4 bytes, one per half for 8 bytes, one per quarter for 16.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int Conflicts(ulong* addresses, uint mask, int bytes)
    {
        var group = bytes <= 4 ? 32 : 128 / bytes;
        var extra = 0;
        for (var start = 0; start < 32; start += group)
        {
            var words = 0;
            for (var lane = start; lane < start + group; lane++)
            {
                if ((mask >> lane & 1) == 0)
                {
                    continue;
                }

                for (var word = addresses[lane] >> 2; word < addresses[lane] + (ulong)bytes + 3 >> 2; word++)
                {
                    if (Array.IndexOf(_words, word, 0, words) < 0)
                    {
                        _words[words++] = word;
                    }
                }
            }

            if (words == 0)
            {
                continue;
            }

            Array.Clear(_bankOf, 0, 32);
            var passes = 0;
            for (var i = 0; i < words; i++)
            {
                passes = Math.Max(passes, ++_bankOf[_words[i] & 31]);
            }

            extra += passes - 1;
        }

        return extra;
    }

    private string OutOfBounds(Region? region, ulong address, int bytes, bool writes)
    {
        var what = $"{bytes} bytes {(writes ? "written" : "read")} ";
        if (region is { IsShared: true })
        {
            return what + $"outside the block's {region.Bytes} bytes of shared memory";
        }

        if (region is not null)
        {
            return what + $"across the end of {region.Name}, {region.Bytes} bytes from 0x{region.Start:x}";
        }

        var below = default(Region);
        var above = default(Region);
        foreach (var candidate in memory.Regions)
        {
            if (candidate.End <= address)
            {
                below = candidate;
            }
            else
            {
                above ??= candidate;
            }
        }

        return what + "outside every allocation"
            + (below is null ? "" : $"; {address - below.End} bytes after the end of {below.Name} ({below.Bytes} bytes)")
            + (above is null ? "" : $"; {above.Start - address} bytes before {above.Name} ({above.Bytes} bytes)");
    }
}
