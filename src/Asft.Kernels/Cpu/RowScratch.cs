using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Asft.Kernels.Cpu;

/// <summary>
/// Memory that one thread needs while it works on a row. Kept for the next call: a few rows' worth of native memory per thread, freed
/// when a call needs more and the block is replaced.
/// </summary>
internal sealed unsafe class RowScratch
{
    private const int Alignment = 64;
    private static readonly ConcurrentBag<RowScratch> s_free = [];

    private byte* _memory;
    private nuint _size;
    private nuint _used;

    /// <summary>A block of at least <paramref name="size"/> bytes, no other thread's.</summary>
    /// <exception cref="OutOfMemoryException">The system refuses the memory; nothing is kept then.</exception>
    public static RowScratch Rent(nuint size)
    {
        if (!s_free.TryTake(out RowScratch? scratch))
        {
            scratch = new RowScratch();
        }

        if (scratch._size < size)
        {
            NativeMemory.AlignedFree(scratch._memory);
            scratch.Allocate(size);
        }

        scratch._used = 0;
        return scratch;
    }

    /// <summary>Bytes of the block.</summary>
    public nuint Size => _size;

    /// <summary>
    /// A block of half a huge page or more gets whole ones. It is read and written row after row and has to stay in the second-level
    /// cache, where the scattered small pages would meet in the same sets.
    /// </summary>
    private void Allocate(nuint size)
    {
        bool huge = size >= HugePages.PageSize / 2;
        nuint alignment = huge ? HugePages.PageSize : Alignment;
        _size = (size + alignment - 1) & ~(alignment - 1);
        _memory = (byte*)NativeMemory.AlignedAlloc(_size, alignment);
        if (huge)
        {
            HugePages.Advise(_memory, (long)_size);
        }
    }

    public void Return() => s_free.Add(this);

    /// <summary>The bytes that <paramref name="count"/> elements take from a block.</summary>
    public static nuint SizeOf<T>(long count)
        where T : unmanaged => ((nuint)(count * sizeof(T)) + Alignment - 1) & ~(nuint)(Alignment - 1);

    /// <summary>Takes the next <paramref name="count"/> elements of the block.</summary>
    public T* Take<T>(long count)
        where T : unmanaged
    {
        byte* next = _memory + _used;
        _used += SizeOf<T>(count);
        return Take<T>(ref next, count);
    }

    /// <summary>Takes the next elements of some memory.</summary>
    public static T* Take<T>(ref byte* next, long count)
        where T : unmanaged
    {
        T* taken = (T*)next;
        next += SizeOf<T>(count);
        return taken;
    }
}
