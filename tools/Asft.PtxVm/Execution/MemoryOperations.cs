using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Asft.PtxVm.Memory;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm.Execution;

/// <summary>Where an access goes: a base register, or none, and an offset, in a state space.</summary>
internal readonly record struct Place(StateSpace Space, int Base, bool IsWide, ulong Offset);

/// <summary>
/// Generic addresses: global memory is at its own addresses, shared and local memory in windows that no host address is in.
/// </summary>
internal static class Windows
{
    public const ulong Shared = 0x0100_0000_0000_0000;
    public const ulong Local = 0x0200_0000_0000_0000;
    public const ulong Bytes = 1UL << 32;

    /// <summary>
    /// In the window of a cluster's shared memory, own addresses are what they are, and those of the block of rank r are r + 1 of these steps above.
    /// </summary>
    public const uint ClusterStep = 1 << 24;

    public static bool IsShared(ulong address) => address - Shared < Bytes;

    public static bool IsLocal(ulong address) => address - Local < Bytes;
}

/// <summary>An instruction that accesses memory: finds the lanes' addresses, has them checked, and gives pointers.</summary>
internal abstract unsafe class MemoryOperation(Place place, int bytes, AccessKind kind) : Operation
{
    private const int Lanes = 32;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var addresses = stackalloc ulong[Lanes];
        var offset = place.Offset;
        if (place.Base < 0)
        {
            for (var lane = 0; lane < Lanes; lane++)
            {
                addresses[lane] = offset;
            }
        }
        else if (place.IsWide)
        {
            var bases = (ulong*)(warp.Registers + place.Base);
            for (var lane = 0; lane < Lanes; lane++)
            {
                addresses[lane] = bases[lane] + offset;
            }
        }
        else
        {
            var bases = (uint*)(warp.Registers + place.Base);
            for (var lane = 0; lane < Lanes; lane++)
            {
                addresses[lane] = (uint)(bases[lane] + offset);
            }
        }

        switch (place.Space)
        {
            case StateSpace.Generic:
                Generic(warp, addresses, mask);
                break;
            case StateSpace.Shared:
                Shared(warp, warp.Block, addresses, mask);
                break;
            case StateSpace.SharedCluster:
                SharedOfCluster(warp, addresses, mask);
                break;
            case StateSpace.Local:
                PerThread(
                    warp, addresses, mask, warp.Local, warp.Block.LocalBytes, warp.Block.LocalBytes, "the thread's local memory");
                break;
            case StateSpace.Parameter:
                PerThread(warp, addresses, mask, warp.Block.Parameters, 0, warp.Block.ParameterBytes, "the parameter");
                break;
            default:
                Move(warp, addresses, mask, warp.Block.Access.Access(warp, addresses, mask, bytes, kind));
                break;
        }
    }

    /// <summary>Moves the data of the lanes, whose addresses are checked and are pointers now.</summary>
    protected abstract void Move(Warp warp, ulong* pointers, uint mask, bool sideBySide);

    private void Shared(Warp warp, Block owner, ulong* addresses, uint mask)
    {
        var sideBySide = warp.Block.Access.Access(warp, addresses, mask, bytes, kind, owner.Shared);
        var start = (ulong)owner.SharedBase;
        for (var left = mask; left != 0; left &= left - 1)
        {
            addresses[BitOperations.TrailingZeroCount(left)] += start;
        }

        Move(warp, addresses, mask, sideBySide);
    }

    // Lanes may look at the memory of different blocks: each block's in its turn.
    private void SharedOfCluster(Warp warp, ulong* addresses, uint mask)
    {
        while (mask != 0)
        {
            var first = BitOperations.TrailingZeroCount(mask);
            var window = addresses[first] / Windows.ClusterStep;
            var owner = warp.Block.Cluster.Owner(warp, first, addresses[first]);
            var same = 0u;
            for (var left = mask; left != 0; left &= left - 1)
            {
                var lane = BitOperations.TrailingZeroCount(left);
                if (addresses[lane] / Windows.ClusterStep == window)
                {
                    same |= 1u << lane;
                    addresses[lane] %= Windows.ClusterStep;
                }
            }

            Shared(warp, owner, addresses, same);
            mask &= ~same;
        }
    }

    // Memory that begins at 0 for each thread, with so many bytes from one thread's to the next's.
    private void PerThread(Warp warp, ulong* addresses, uint mask, byte* start, int stride, int size, string name)
    {
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            var address = addresses[lane];
            if (address >= (ulong)size || (ulong)bytes > (ulong)size - address)
            {
                throw warp.Fault(PtxFaultKind.OutOfBounds, lane, address, $"{bytes} bytes outside {name} of {size} bytes");
            }

            if (address % (ulong)bytes != 0)
            {
                throw warp.Fault(
                    PtxFaultKind.Misaligned, lane, address,
                    $"{bytes} bytes of {name} at an address that is no multiple of {bytes}");
            }

            addresses[lane] = (ulong)(start + (long)lane * stride) + address;
        }

        Move(warp, addresses, mask, sideBySide: false);
    }

    private void Generic(Warp warp, ulong* addresses, uint mask)
    {
        var (shared, local) = (0u, 0u);
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            if (Windows.IsShared(addresses[lane]))
            {
                shared |= 1u << lane;
                addresses[lane] -= Windows.Shared;
            }
            else if (Windows.IsLocal(addresses[lane]))
            {
                local |= 1u << lane;
                addresses[lane] -= Windows.Local;
            }
        }

        var global = mask & ~shared & ~local;
        if (global != 0)
        {
            Move(warp, addresses, global, warp.Block.Access.Access(warp, addresses, global, bytes, kind));
        }

        if (local != 0)
        {
            PerThread(
                warp, addresses, local, warp.Local, warp.Block.LocalBytes, warp.Block.LocalBytes, "the thread's local memory");
        }

        if (shared != 0)
        {
            Shared(warp, warp.Block, addresses, shared);
        }
    }
}

/// <summary>ld: one, two or four elements into registers.</summary>
/// <param name="place">Where from.</param>
/// <param name="element">Bytes of an element.</param>
/// <param name="signed">Whether shorter elements are sign-extended.</param>
/// <param name="atomic">Whether the access may meet atomic ones.</param>
/// <param name="results">The registers.</param>
/// <param name="wide">Whether they have 64 bits.</param>
/// <param name="narrow">Whether they have 16 bits.</param>
internal sealed unsafe class Load(Place place, int element, bool signed, bool atomic, int[] results, bool wide, bool narrow)
    : MemoryOperation(place, element * results.Length, atomic ? AccessKind.AtomicRead : AccessKind.Read)
{
    protected override void Move(Warp warp, ulong* pointers, uint mask, bool sideBySide)
    {
        if (element == 4 && results.Length == 4 && !wide && mask == uint.MaxValue && Sse2.IsSupported)
        {
            MoveFour(warp, pointers);
        }
        else if (element == 4 && !wide)
        {
            Move<uint>(warp, pointers, mask);
        }
        else if (element == 8)
        {
            Move<ulong>(warp, pointers, mask);
        }
        else
        {
            Extend(warp, pointers, mask);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Move<T>(Warp warp, ulong* pointers, uint mask)
        where T : unmanaged
    {
        for (var k = 0; k < results.Length; k++)
        {
            var to = (T*)(warp.Registers + results[k]);
            if (mask == uint.MaxValue)
            {
                for (var lane = 0; lane < 32; lane++)
                {
                    to[lane] = ((T*)pointers[lane])[k];
                }
            }
            else
            {
                for (var left = mask; left != 0; left &= left - 1)
                {
                    var lane = BitOperations.TrailingZeroCount(left);
                    to[lane] = ((T*)pointers[lane])[k];
                }
            }
        }
    }

    // Four words a lane, four lanes at a time: what lies side by side in memory goes to four registers.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MoveFour(Warp warp, ulong* pointers)
    {
        var to0 = (uint*)(warp.Registers + results[0]);
        var to1 = (uint*)(warp.Registers + results[1]);
        var to2 = (uint*)(warp.Registers + results[2]);
        var to3 = (uint*)(warp.Registers + results[3]);
        for (var lane = 0; lane < 32; lane += 4)
        {
            var (a, b, c, d) = Transposition.Of(
                Vector128.Load((uint*)pointers[lane]), Vector128.Load((uint*)pointers[lane + 1]),
                Vector128.Load((uint*)pointers[lane + 2]), Vector128.Load((uint*)pointers[lane + 3]));
            a.Store(to0 + lane);
            b.Store(to1 + lane);
            c.Store(to2 + lane);
            d.Store(to3 + lane);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Extend(Warp warp, ulong* pointers, uint mask)
    {
        for (var k = 0; k < results.Length; k++)
        {
            var to = warp.Registers + results[k];
            for (var left = mask; left != 0; left &= left - 1)
            {
                var lane = BitOperations.TrailingZeroCount(left);
                var from = (byte*)pointers[lane] + k * element;
                var value = element switch
                {
                    1 => signed ? *(sbyte*)from : *from,
                    2 => signed ? *(short*)from : *(ushort*)from,
                    _ => signed ? *(int*)from : (long)*(uint*)from,
                };
                if (wide)
                {
                    ((long*)to)[lane] = value;
                }
                else
                {
                    ((uint*)to)[lane] = narrow ? (ushort)value : (uint)value;
                }
            }
        }
    }
}

/// <summary>Four rows of four words become four columns.</summary>
internal static class Transposition
{
    public static (Vector128<uint> A, Vector128<uint> B, Vector128<uint> C, Vector128<uint> D) Of(
        Vector128<uint> a, Vector128<uint> b, Vector128<uint> c, Vector128<uint> d)
    {
        var abLow = Sse2.UnpackLow(a, b).AsUInt64();
        var cdLow = Sse2.UnpackLow(c, d).AsUInt64();
        var abHigh = Sse2.UnpackHigh(a, b).AsUInt64();
        var cdHigh = Sse2.UnpackHigh(c, d).AsUInt64();
        return (
            Sse2.UnpackLow(abLow, cdLow).AsUInt32(), Sse2.UnpackHigh(abLow, cdLow).AsUInt32(),
            Sse2.UnpackLow(abHigh, cdHigh).AsUInt32(), Sse2.UnpackHigh(abHigh, cdHigh).AsUInt32());
    }
}

/// <summary>st: one, two or four elements from registers, of which the low bytes are stored.</summary>
internal sealed unsafe class Store(Place place, int element, bool atomic, int[] values, bool wide)
    : MemoryOperation(place, element * values.Length, atomic ? AccessKind.AtomicWrite : AccessKind.Write)
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    protected override void Move(Warp warp, ulong* pointers, uint mask, bool sideBySide)
    {
        if (element == 4 && values.Length == 4 && mask == uint.MaxValue && !wide && Sse2.IsSupported)
        {
            MoveFour(warp, pointers);
            return;
        }

        for (var k = 0; k < values.Length; k++)
        {
            var from = warp.Registers + values[k];
            for (var left = mask; left != 0; left &= left - 1)
            {
                var lane = BitOperations.TrailingZeroCount(left);
                var to = (byte*)pointers[lane] + k * element;
                var value = wide ? ((ulong*)from)[lane] : ((uint*)from)[lane];
                switch (element)
                {
                    case 1:
                        *to = (byte)value;
                        break;
                    case 2:
                        *(ushort*)to = (ushort)value;
                        break;
                    case 4:
                        *(uint*)to = (uint)value;
                        break;
                    default:
                        *(ulong*)to = value;
                        break;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void MoveFour(Warp warp, ulong* pointers)
    {
        var from0 = (uint*)(warp.Registers + values[0]);
        var from1 = (uint*)(warp.Registers + values[1]);
        var from2 = (uint*)(warp.Registers + values[2]);
        var from3 = (uint*)(warp.Registers + values[3]);
        for (var lane = 0; lane < 32; lane += 4)
        {
            var (a, b, c, d) = Transposition.Of(
                Vector128.Load(from0 + lane), Vector128.Load(from1 + lane),
                Vector128.Load(from2 + lane), Vector128.Load(from3 + lane));
            a.Store((uint*)pointers[lane]);
            b.Store((uint*)pointers[lane + 1]);
            c.Store((uint*)pointers[lane + 2]);
            d.Store((uint*)pointers[lane + 3]);
        }
    }
}

/// <summary>atom and red: lane after lane, memory becomes function(memory, b, c) and the result is what it was.</summary>
internal sealed unsafe class Atomic<T>(Place place, int result, int b, int c, Func<T, T, T, T> function)
    : MemoryOperation(place, sizeof(T), AccessKind.AtomicUpdate)
    where T : unmanaged
{
    protected override void Move(Warp warp, ulong* pointers, uint mask, bool sideBySide)
    {
        var to = (T*)(warp.Registers + Math.Max(result, 0));
        var second = (T*)(warp.Registers + b);
        var third = (T*)(warp.Registers + c);
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            var memory = (T*)pointers[lane];
            var old = *memory;
            *memory = function(old, second[lane], third[lane]);
            if (result >= 0)
            {
                to[lane] = old;
            }
        }
    }
}

/// <summary>ld.param: the parameter is the same for all threads.</summary>
internal sealed unsafe class LoadParameter(
    int offset, int element, bool signed, int[] results, bool wide, bool narrow) : Operation
{
    public override void Execute(Warp warp, uint mask)
    {
        for (var k = 0; k < results.Length; k++)
        {
            var from = warp.Block.Parameters + offset + k * element;
            var value = element switch
            {
                1 => signed ? (ulong)*(sbyte*)from : *from,
                2 => signed ? (ulong)*(short*)from : *(ushort*)from,
                4 => signed ? (ulong)*(int*)from : *(uint*)from,
                _ => *(ulong*)from,
            };
            var to = warp.Registers + results[k];
            for (var left = mask; left != 0; left &= left - 1)
            {
                var lane = BitOperations.TrailingZeroCount(left);
                if (wide)
                {
                    ((ulong*)to)[lane] = value;
                }
                else
                {
                    ((uint*)to)[lane] = narrow ? (ushort)value : (uint)value;
                }
            }
        }
    }
}

/// <summary>mapa: the address in the window of the cluster's shared memory that is in another block what this one is here.</summary>
internal sealed unsafe class MapAddress(int result, int address, int rank) : Operation
{
    public override void Execute(Warp warp, uint mask)
    {
        var to = (uint*)(warp.Registers + result);
        var from = (uint*)(warp.Registers + address);
        var ranks = (uint*)(warp.Registers + rank);
        for (var left = mask; left != 0; left &= left - 1)
        {
            var lane = BitOperations.TrailingZeroCount(left);
            if (ranks[lane] >= warp.Block.Cluster.Size || from[lane] >= Windows.ClusterStep)
            {
                throw warp.Fault(
                    PtxFaultKind.OutOfBounds, lane, from[lane],
                    $"an address of the block of rank {ranks[lane]}, where the cluster has {warp.Block.Cluster.Size}");
            }

            to[lane] = (ranks[lane] + 1) * Windows.ClusterStep + from[lane];
        }
    }
}

/// <summary>Fences, prefetches and hints: nothing to do in a machine whose memory is always up to date.</summary>
internal sealed class Nothing : Operation
{
    public override void Execute(Warp warp, uint mask)
    {
    }
}

internal sealed class Trap : Operation
{
    public override void Execute(Warp warp, uint mask) =>
        throw warp.Fault(PtxFaultKind.Trap, BitOperations.TrailingZeroCount(mask), null, "the kernel trapped");
}
