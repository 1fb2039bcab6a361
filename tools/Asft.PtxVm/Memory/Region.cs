using System.Numerics;
using System.Runtime.InteropServices;

namespace Asft.PtxVm.Memory;

/// <summary>
/// A stretch of memory that kernels may use: an allocation of global memory, or the shared memory of the block that runs.
/// </summary>
/// <param name="start">Its first address.</param>
/// <param name="bytes">Its size.</param>
/// <param name="name">What faults call it.</param>
/// <param name="isShared">Whether it is shared memory, which a block does not share with others.</param>
internal sealed unsafe class Region(ulong start, long bytes, string name, bool isShared = false)
{
    public ulong Start { get; } = start;

    public ulong End { get; } = start + (ulong)bytes;

    public string Name { get; } = name;

    public bool IsShared { get; } = isShared;

    public bool IsReadOnly { get; init; }

    public long Bytes => (long)(End - Start);

    /// <summary>One bit per byte that something has written; null when everything counts as written.</summary>
    public ulong* Written { get; set; }

    /// <summary>
    /// Who read and who wrote each granule in this launch, as <see cref="RaceChecks"/> puts it; null until the first access.
    /// </summary>
    public uint* Readers { get; private set; }

    public uint* Writers { get; private set; }

    /// <summary>One bit per sector read and written in this launch; null until the first access.</summary>
    public ulong* SectorsRead { get; private set; }

    public ulong* SectorsWritten { get; private set; }

    public bool Contains(ulong address, long bytes) => address >= Start && address < End && (ulong)bytes <= End - address;

    public void TrackWrites(bool written)
    {
        var words = (nuint)((Bytes + 63) / 64);
        Written = (ulong*)NativeMemory.AllocZeroed(words, 8);
        if (written)
        {
            MarkWritten(Start, Bytes);
        }
    }

    public void ForgetWrites()
    {
        if (Written != null)
        {
            new Span<ulong>(Written, (int)((Bytes + 63) / 64)).Clear();
        }
    }

    /// <summary>Forgets who used what: a new block begins with shared memory of its own.</summary>
    public void ForgetUses(int shift)
    {
        if (Readers != null)
        {
            NativeMemory.Clear(Readers, Granules(shift) * 4);
        }

        if (Writers != null)
        {
            NativeMemory.Clear(Writers, Granules(shift) * 4);
        }
    }

    public bool IsWritten(ulong address, long bytes)
    {
        var (first, count) = (address - Start, (ulong)bytes);
        if ((first & 63) + count <= 64)
        {
            var bits = (count == 64 ? ulong.MaxValue : (1UL << (int)count) - 1) << (int)(first & 63);
            return (Written[first >> 6] & bits) == bits;
        }

        while (count > 0)
        {
            var here = Math.Min(count, 64 - (first & 63));
            if (!IsWritten(Start + first, (long)here))
            {
                return false;
            }

            first += here;
            count -= here;
        }

        return true;
    }

    public void MarkWritten(ulong address, long bytes) => Mark(Written, address - Start, (ulong)bytes);

    public void StartReaders(int shift)
    {
        if (Readers == null)
        {
            Readers = (uint*)NativeMemory.AllocZeroed(Granules(shift), 4);
        }
    }

    public void StartWriters(int shift)
    {
        if (Writers == null)
        {
            Writers = (uint*)NativeMemory.AllocZeroed(Granules(shift), 4);
        }
    }

    public void MarkSectorsRead(ulong address, long bytes)
    {
        if (SectorsRead == null)
        {
            SectorsRead = NewSectors();
        }

        MarkSectors(SectorsRead, address, bytes);
    }

    public void MarkSectorsWritten(ulong address, long bytes)
    {
        if (SectorsWritten == null)
        {
            SectorsWritten = NewSectors();
        }

        MarkSectors(SectorsWritten, address, bytes);
    }

    /// <summary>Ends a launch: gives the distinct sectors read and written, and forgets who used what.</summary>
    public (long Read, long Written) EndLaunch()
    {
        var counts = (CountSectors(SectorsRead), CountSectors(SectorsWritten));
        NativeMemory.Free(Readers);
        NativeMemory.Free(Writers);
        NativeMemory.Free(SectorsRead);
        NativeMemory.Free(SectorsWritten);
        Readers = Writers = null;
        SectorsRead = SectorsWritten = null;
        return counts;
    }

    public void Free()
    {
        EndLaunch();
        NativeMemory.Free(Written);
        Written = null;
    }

    private nuint Granules(int shift) => (nuint)((End - (Start & ~0xful) + 15 >> shift) + 1);

    private long SectorWords => ((long)(End + 31 >> 5) - (long)(Start >> 5) + 63) / 64;

    private ulong* NewSectors() => (ulong*)NativeMemory.AllocZeroed((nuint)SectorWords, 8);

    private void MarkSectors(ulong* sectors, ulong address, long bytes)
    {
        var first = (address >> 5) - (Start >> 5);
        Mark(sectors, first, (address + (ulong)bytes - 1 >> 5) - (Start >> 5) - first + 1);
    }

    private long CountSectors(ulong* sectors)
    {
        var count = 0L;
        for (var i = 0L; sectors != null && i < SectorWords; i++)
        {
            count += BitOperations.PopCount(sectors[i]);
        }

        return count;
    }

    private static void Mark(ulong* bits, ulong first, ulong count)
    {
        while (count > 0)
        {
            var here = Math.Min(count, 64 - (first & 63));
            bits[first >> 6] |= (here == 64 ? ulong.MaxValue : (1UL << (int)here) - 1) << (int)(first & 63);
            first += here;
            count -= here;
        }
    }
}
