using System.Runtime.InteropServices;
using Asft.Kernels.Cuda;
using Asft.PtxVm.Memory;

namespace Asft.PtxVm;

/// <summary>
/// The global memory of a <see cref="PtxMachine"/>: host memory that kernels may use. Device addresses are host addresses. Memory that the
/// machine did not allocate, such as a tensor's, must be registered first; anything else is out of bounds.
/// </summary>
public sealed unsafe class MachineMemory
{
    private const int Alignment = 256;
    private const int Poison = 0xEF; // what unspecified contents look like: large negative numbers in every float type

    private readonly Lock _lock;
    private readonly bool _tracksWrites;
    private readonly List<Registration> _registrations = [];
    private Region[] _regions = [];
    private int _last;

    internal MachineMemory(Lock machineLock, bool tracksWrites)
    {
        _lock = machineLock;
        _tracksWrites = tracksWrites;
    }

    /// <summary>Bytes that the machine allocated and that are not freed yet.</summary>
    public long AllocatedBytes
    {
        get
        {
            lock (_lock)
            {
                return _registrations.Where(entry => entry.IsOwned).Sum(entry => entry.Bytes);
            }
        }
    }

    /// <summary>
    /// Lets kernels use memory that the machine did not allocate. Stretches may overlap; each is unregistered on its own.
    /// </summary>
    /// <param name="address">The first byte.</param>
    /// <param name="bytes">How many; 0 is allowed and registers nothing that could be used.</param>
    /// <param name="name">What faults call it.</param>
    /// <param name="initialized">Whether its contents mean something; if not, kernels must write before they read.</param>
    public void Register(void* address, long bytes, string name, bool initialized = true)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (address == null && bytes > 0)
        {
            throw new ArgumentNullException(nameof(address));
        }

        lock (_lock)
        {
            var region = new Region((ulong)address, bytes, name);
            if (!initialized && _tracksWrites)
            {
                region.TrackWrites(written: false);
            }

            Add(new Registration(region, IsOwned: false));
        }
    }

    /// <summary>Ends what the latest <see cref="Register"/> of this address began.</summary>
    /// <param name="address">The first byte.</param>
    /// <exception cref="ArgumentException">Nothing is registered there.</exception>
    public void Unregister(void* address)
    {
        lock (_lock)
        {
            var index = _registrations.FindLastIndex(entry => !entry.IsOwned && entry.Own.Start == (ulong)address);
            if (index < 0)
            {
                throw new ArgumentException($"No memory is registered at 0x{(ulong)address:x}.", nameof(address));
            }

            Remove(index);
        }
    }

    /// <summary>Whether all of some memory has been written since it was allocated, or registered as not initialized.</summary>
    /// <param name="address">The first byte.</param>
    /// <param name="bytes">How many.</param>
    /// <returns>True when it has; true too when it was registered as initialized, or <see cref="PtxChecks.Initialization"/> is off.</returns>
    /// <exception cref="ArgumentException">The memory is not inside one stretch that kernels may use.</exception>
    public bool IsInitialized(void* address, long bytes)
    {
        lock (_lock)
        {
            var region = Find((ulong)address);
            if (region is null || !region.Contains((ulong)address, bytes))
            {
                throw new ArgumentException(
                    $"0x{(ulong)address:x} with {bytes} bytes is not inside one allocation.", nameof(address));
            }

            return region.Written == null || region.IsWritten((ulong)address, bytes);
        }
    }

    internal ReadOnlySpan<Region> Regions => _regions;

    internal void* Allocate(long bytes, string name, byte[]? contents = null, bool isReadOnly = false)
    {
        lock (_lock)
        {
            if (bytes <= 0 || bytes > long.MaxValue / 2)
            {
                throw new CudaException($"Cannot allocate {bytes} bytes.");
            }

            var memory = NativeMemory.AlignedAlloc((nuint)bytes, Alignment);
            new Span<byte>(memory, (int)Math.Min(bytes, int.MaxValue)).Fill(Poison);
            contents?.CopyTo(new Span<byte>(memory, contents.Length));
            var region = new Region((ulong)memory, bytes, name) { IsReadOnly = isReadOnly };
            if (_tracksWrites && contents is null)
            {
                region.TrackWrites(written: false);
            }

            Add(new Registration(region, IsOwned: true));
            return memory;
        }
    }

    internal void Free(void* address)
    {
        lock (_lock)
        {
            var index = _registrations.FindIndex(entry => entry.IsOwned && entry.Own.Start == (ulong)address);
            if (index < 0)
            {
                throw new CudaException($"Nothing is allocated at 0x{(ulong)address:x}.");
            }

            Remove(index);
            NativeMemory.AlignedFree(address);
        }
    }

    internal void FreeAll()
    {
        lock (_lock)
        {
            foreach (var owned in _registrations.Where(entry => entry.IsOwned).ToArray())
            {
                Free((void*)owned.Own.Start);
            }
        }
    }

    /// <summary>The region with an address, or null.</summary>
    internal Region? Find(ulong address)
    {
        var regions = _regions;
        if ((uint)_last < (uint)regions.Length && address >= regions[_last].Start && address < regions[_last].End)
        {
            return regions[_last];
        }

        var (low, high) = (0, regions.Length - 1);
        while (low <= high)
        {
            var middle = (low + high) / 2;
            if (address < regions[middle].Start)
            {
                high = middle - 1;
            }
            else if (address >= regions[middle].End)
            {
                low = middle + 1;
            }
            else
            {
                _last = middle;
                return regions[middle];
            }
        }

        return null;
    }

    /// <summary>The region of a host call's memory.</summary>
    internal Region Require(void* memory, long bytes, string call)
    {
        var region = Find((ulong)memory);
        return region is not null && region.Contains((ulong)memory, bytes)
            ? region
            : throw new CudaException($"{call}: 0x{(ulong)memory:x} with {bytes} bytes is not inside one allocation.");
    }

    /// <summary>
    /// Copies, for a host call: of either end, what begins in memory that kernels may use lies in it to the last byte; any other memory is the
    /// host's. What nothing has written may be copied, as the padding of structs is, and is no more written at its target than it was.
    /// </summary>
    internal void Copy(void* to, void* from, long bytes)
    {
        lock (_lock)
        {
            var source = Find((ulong)from) is null ? null : Require(from, bytes, nameof(Copy));
            var target = Find((ulong)to) is null ? null : Require(to, bytes, nameof(Copy));
            if (target is { IsReadOnly: true })
            {
                throw new CudaException($"{nameof(Copy)}: {target.Name} is read-only.");
            }

            Buffer.MemoryCopy(from, to, bytes, bytes);
            if (target is null || target.Written == null)
            {
                return;
            }

            var isWhole = source is null || source.Written == null || source.IsWritten((ulong)from, bytes);
            var step = isWhole ? bytes : 1;
            for (var at = 0L; at < bytes; at += step)
            {
                if (isWhole || source!.IsWritten((ulong)from + (ulong)at, step))
                {
                    target.MarkWritten((ulong)to + (ulong)at, step);
                }
            }
        }
    }

    private void Add(Registration registration)
    {
        _registrations.Add(registration);
        Rebuild();
    }

    private void Remove(int index)
    {
        var registration = _registrations[index];
        _registrations.RemoveAt(index);
        Rebuild();
        registration.Own.Free();
    }

    // Stretches that overlap become one region, so that a lookup finds one answer.
    private void Rebuild()
    {
        var sorted = _registrations.Where(entry => entry.Bytes > 0)
            .OrderBy(entry => entry.Own.Start).ThenByDescending(entry => entry.Bytes).ToList();
        var regions = new List<Region>(sorted.Count);
        for (var i = 0; i < sorted.Count;)
        {
            var (first, end) = (sorted[i].Own, sorted[i].Own.End);
            var next = i + 1;
            while (next < sorted.Count && sorted[next].Own.Start < end)
            {
                end = Math.Max(end, sorted[next].Own.End);
                next++;
            }

            // what lies inside the first changes nothing; what reaches beyond makes a new region, all of it taken as written
            regions.Add(end == first.End ? first : new Region(first.Start, (long)(end - first.Start), first.Name));
            i = next;
        }

        _regions = [.. regions];
        _last = 0;
    }

    private sealed record Registration(Region Own, bool IsOwned)
    {
        public long Bytes => Own.Bytes;
    }
}
