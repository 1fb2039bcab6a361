using System.Runtime.InteropServices;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Memory for large tensors that live for part of a training step. The system takes memory of that size back as soon as it is free, and the
/// next step would pay a page fault for every page of it again, which costs several times what writing a gradient does. Here a tensor's memory
/// comes back when torch lets go of the last tensor over it, wherever that is, and serves the next one.
/// </summary>
internal static unsafe class TensorPool
{
    /// <summary>Smaller tensors are torch's: the C library keeps memory of their size itself.</summary>
    private const long SmallestBytes = 1 << 20;

    private static readonly delegate* unmanaged<void*, delegate* unmanaged<void*, void>, long*, int, sbyte, sbyte, int, int, byte, nint> s_create =
        (delegate* unmanaged<void*, delegate* unmanaged<void*, void>, long*, int, sbyte, sbyte, int, int, byte, nint>)LibTorchSharp.Function("THSTensor_new");

    private static readonly Lock s_lock = new();
    private static readonly Dictionary<nint, long> s_rented = [];

    /// <summary>What is free, the latest last.</summary>
    private static readonly List<(nint Address, long Bytes)> s_free = [];

    private static long s_limit = 1L << 30;
    private static long s_freeBytes;

    /// <summary>How many bytes are kept at most while no tensor uses them.</summary>
    public static long Limit
    {
        get => Interlocked.Read(ref s_limit);
        set
        {
            lock (s_lock)
            {
                s_limit = value;
                Trim(value);
            }
        }
    }

    /// <summary>Bytes that are kept and no tensor uses.</summary>
    public static long FreeBytes
    {
        get
        {
            lock (s_lock)
            {
                return s_freeBytes;
            }
        }
    }

    /// <summary>A new tensor without gaps, not initialized, which belongs to the current dispose scope.</summary>
    /// <param name="shape">Its shape.</param>
    /// <param name="dtype">Any floating dtype that a loss takes.</param>
    /// <param name="device">Where it is to be.</param>
    public static Tensor Empty(long[] shape, ScalarType dtype, Device device)
    {
        long bytes = dtype switch { ScalarType.Float64 => sizeof(double), ScalarType.Float32 => sizeof(float), _ => sizeof(ushort) };
        foreach (long size in shape)
        {
            bytes = checked(bytes * size);
        }

        if (device.type != TorchSharp.DeviceType.CPU || bytes < SmallestBytes)
        {
            return TensorMemory.Empty(shape, dtype, device);
        }

        void* memory = Rent(bytes);
        nint handle;
        fixed (long* sizes = shape)
        {
            handle = s_create(memory, &Return, sizes, shape.Length, (sbyte)dtype, (sbyte)dtype, (int)TorchSharp.DeviceType.CPU, -1, 0);
        }

        if (handle == 0)
        {
            Free((nint)memory);
            CheckForErrors();
        }

        return Tensor.UnsafeCreateTensor(handle);
    }

    /// <summary>Gives everything back that no tensor uses.</summary>
    public static void Clear()
    {
        lock (s_lock)
        {
            Trim(0);
        }
    }

    /// <summary>Memory of at least so many bytes, and of less than twice as many: what is free and fits best, or new.</summary>
    private static void* Rent(long bytes)
    {
        lock (s_lock)
        {
            int best = -1;
            for (int i = 0; i < s_free.Count; i++)
            {
                long size = s_free[i].Bytes;
                if (size >= bytes && size < 2 * bytes && (best < 0 || size < s_free[best].Bytes))
                {
                    best = i;
                }
            }

            if (best >= 0)
            {
                (nint address, long size) = s_free[best];
                s_free.RemoveAt(best);
                s_freeBytes -= size;
                s_rented.Add(address, size);
                return (void*)address;
            }
        }

        void* memory = NativeMemory.AlignedAlloc((nuint)bytes, HugePages.PageSize);
        HugePages.Advise(memory, bytes);
        lock (s_lock)
        {
            s_rented.Add((nint)memory, bytes);
        }

        return memory;
    }

    /// <summary>Torch has let go of the last tensor over some memory, on whatever thread.</summary>
    [UnmanagedCallersOnly]
    private static void Return(void* memory) => Free((nint)memory);

    private static void Free(nint memory)
    {
        lock (s_lock)
        {
            s_rented.Remove(memory, out long bytes);
            s_free.Add((memory, bytes));
            s_freeBytes += bytes;
            Trim(s_limit);
        }
    }

    /// <summary>Gives memory back, that which came first, until no more than so much is kept.</summary>
    private static void Trim(long limit)
    {
        while (s_freeBytes > limit)
        {
            (nint address, long bytes) = s_free[0];
            s_free.RemoveAt(0);
            s_freeBytes -= bytes;
            NativeMemory.AlignedFree((void*)address);
        }
    }
}
