using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Asft.PtxVm.Execution;

/// <summary>Lane by lane, a function of one operand.</summary>
internal sealed unsafe class Map<TA, TR>(int result, int a, Func<TA, TR> function) : Operation
    where TA : unmanaged
    where TR : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (TR*)(warp.Registers + result);
        var from = (TA*)(warp.Registers + a);
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            to[lane] = function(from[lane]);
        }
    }
}

/// <summary>Lane by lane, a function of two operands.</summary>
internal sealed unsafe class Map<TA, TB, TR>(int result, int a, int b, Func<TA, TB, TR> function) : Operation
    where TA : unmanaged
    where TB : unmanaged
    where TR : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (TR*)(warp.Registers + result);
        var first = (TA*)(warp.Registers + a);
        var second = (TB*)(warp.Registers + b);
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            to[lane] = function(first[lane], second[lane]);
        }
    }
}

/// <summary>Lane by lane, a function of three operands.</summary>
internal sealed unsafe class Map<TA, TB, TC, TR>(int result, int a, int b, int c, Func<TA, TB, TC, TR> function) : Operation
    where TA : unmanaged
    where TB : unmanaged
    where TC : unmanaged
    where TR : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (TR*)(warp.Registers + result);
        var first = (TA*)(warp.Registers + a);
        var second = (TB*)(warp.Registers + b);
        var third = (TC*)(warp.Registers + c);
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            to[lane] = function(first[lane], second[lane], third[lane]);
        }
    }
}

/// <summary>Lane by lane, an approximate function.</summary>
internal sealed unsafe class ApproximateMap(int result, int a, Func<Arithmetic.Approximate, float, float> function) : Operation
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (float*)(warp.Registers + result);
        var from = (float*)(warp.Registers + a);
        var approximate = warp.Block.Approximation;
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            to[lane] = function(approximate, from[lane]);
        }
    }
}

/// <summary>Lane by lane, a division that approximates.</summary>
internal sealed unsafe class ApproximateDivision(int result, int a, int b, bool flush) : Operation
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (float*)(warp.Registers + result);
        var first = (float*)(warp.Registers + a);
        var second = (float*)(warp.Registers + b);
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            to[lane] = warp.Block.Approximation.Div(first[lane], second[lane], flush);
        }
    }
}

/// <summary>Lane by lane, an integer division or remainder, whose divisor must not be 0.</summary>
internal sealed unsafe class Division<T>(int result, int a, int b, Func<T, T, T> function) : Operation
    where T : unmanaged, IBinaryInteger<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            if (T.IsZero(second[lane]))
            {
                throw warp.Fault(PtxFaultKind.DivisionByZero, lane, null, "an integer division by 0");
            }

            to[lane] = function(first[lane], second[lane]);
        }
    }
}

/// <summary>A vector's worth of lanes at a time: a function of one, two or three operands of one type.</summary>
internal interface IVectorFunction1<T>
{
    static abstract Vector256<T> Of(Vector256<T> a);
}

internal interface IVectorFunction2<T>
{
    static abstract Vector256<T> Of(Vector256<T> a, Vector256<T> b);
}

internal interface IVectorFunction3<T>
{
    static abstract Vector256<T> Of(Vector256<T> a, Vector256<T> b, Vector256<T> c);
}

internal static unsafe class LaneVectors
{
    private static readonly Vector256<uint> Bits32 = Vector256.Create(1u, 2, 4, 8, 16, 32, 64, 128);
    private static readonly Vector256<ulong> Bits64 = Vector256.Create(1ul, 2, 4, 8);

    /// <summary>All bits of the lanes that a mask names, from a lane on.</summary>
    public static Vector256<T> Expand<T>(uint mask, int lane)
    {
        if (Vector256<T>.Count == 8)
        {
            return Vector256.Equals(Vector256.Create(mask >> lane) & Bits32, Bits32).As<uint, T>();
        }

        return Vector256.Equals(Vector256.Create((ulong)(mask >> lane)) & Bits64, Bits64).As<ulong, T>();
    }

    public static void Store<T>(Vector256<T> value, T* to, int lane, uint mask)
        where T : unmanaged
    {
        if (mask == uint.MaxValue)
        {
            value.Store(to + lane);
        }
        else
        {
            Vector256.ConditionalSelect(Expand<T>(mask, lane), value, Vector256.Load(to + lane)).Store(to + lane);
        }
    }
}

internal sealed unsafe class Vectors1<T, TFunction>(int result, int a) : Operation
    where T : unmanaged
    where TFunction : struct, IVectorFunction1<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var from = (T*)(warp.Registers + a);
        for (var lane = 0; lane < 32; lane += Vector256<T>.Count)
        {
            LaneVectors.Store(TFunction.Of(Vector256.Load(from + lane)), to, lane, mask);
        }
    }
}

internal sealed unsafe class Vectors2<T, TFunction>(int result, int a, int b) : Operation
    where T : unmanaged
    where TFunction : struct, IVectorFunction2<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        for (var lane = 0; lane < 32; lane += Vector256<T>.Count)
        {
            LaneVectors.Store(TFunction.Of(Vector256.Load(first + lane), Vector256.Load(second + lane)), to, lane, mask);
        }
    }
}

internal sealed unsafe class Vectors3<T, TFunction>(int result, int a, int b, int c) : Operation
    where T : unmanaged
    where TFunction : struct, IVectorFunction3<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        var third = (T*)(warp.Registers + c);
        for (var lane = 0; lane < 32; lane += Vector256<T>.Count)
        {
            LaneVectors.Store(
                TFunction.Of(
                    Vector256.Load(first + lane), Vector256.Load(second + lane), Vector256.Load(third + lane)), to, lane, mask);
        }
    }
}

/// <summary>Copies a register, whatever is in it.</summary>
internal sealed unsafe class Copy<T>(int result, int a) : Operation
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var from = (T*)(warp.Registers + a);
        for (var lane = 0; lane < 32; lane += Vector256<T>.Count)
        {
            LaneVectors.Store(Vector256.Load(from + lane), to, lane, mask);
        }
    }
}

/// <summary>A function of predicates, which are masks.</summary>
internal sealed unsafe class PredicateOperation(int result, int a, int b, Func<uint, uint, uint> function) : Operation
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (uint*)(warp.Registers + result);
        var value = function(*(uint*)(warp.Registers + a), *(uint*)(warp.Registers + b));
        *to = (*to & ~mask) | (value & mask);
    }
}

/// <summary>p ? a : b.</summary>
internal sealed unsafe class Select<T>(int result, int a, int b, int predicate) : Operation
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        var chosen = *(uint*)(warp.Registers + predicate);
        for (var lane = 0; lane < 32; lane += Vector256<T>.Count)
        {
            var value = Vector256.ConditionalSelect(
                LaneVectors.Expand<T>(chosen, lane), Vector256.Load(first + lane), Vector256.Load(second + lane));
            LaneVectors.Store(value, to, lane, mask);
        }
    }
}

/// <summary>How the result of a comparison meets another predicate.</summary>
internal enum Combination
{
    None,
    And,
    Or,
    Xor,
}

/// <summary>Where the results of a comparison go.</summary>
/// <param name="Result">The predicate.</param>
/// <param name="Inverse">The predicate of the opposite, or -1.</param>
/// <param name="Combination">How both meet <paramref name="Other"/>.</param>
/// <param name="Other">Another predicate, or -1.</param>
/// <param name="OtherNegated">Whether it counts inverted.</param>
internal readonly record struct ComparisonTarget(int Result, int Inverse, Combination Combination, int Other, bool OtherNegated)
{
    public unsafe void Store(Warp warp, uint mask, uint holds)
    {
        var other = Other < 0 ? 0 : *(uint*)(warp.Registers + Other);
        other = OtherNegated ? ~other : other;
        Store(warp, Result, mask, Combine(holds, other));
        if (Inverse >= 0)
        {
            Store(warp, Inverse, mask, Combine(~holds, other));
        }
    }

    private uint Combine(uint holds, uint other) => Combination switch
    {
        Combination.And => holds & other,
        Combination.Or => holds | other,
        Combination.Xor => holds ^ other,
        _ => holds,
    };

    private static unsafe void Store(Warp warp, int result, uint mask, uint value)
    {
        if (result >= 0)
        {
            var to = (uint*)(warp.Registers + result);
            *to = (*to & ~mask) | (value & mask);
        }
    }
}

/// <summary>A comparison of vectors: all bits of a lane where it holds.</summary>
internal sealed unsafe class Comparison<T, TFunction>(int a, int b, bool inverted, ComparisonTarget target) : Operation
    where T : unmanaged
    where TFunction : struct, IVectorFunction2<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        var holds = 0u;
        for (var lane = 0; lane < 32; lane += Vector256<T>.Count)
        {
            holds |= TFunction.Of(Vector256.Load(first + lane), Vector256.Load(second + lane)).ExtractMostSignificantBits() << lane;
        }

        target.Store(warp, mask, inverted ? ~holds : holds);
    }
}

/// <summary>A comparison, lane by lane.</summary>
internal sealed unsafe class ComparisonMap<T>(int a, int b, Func<T, T, bool> function, ComparisonTarget target) : Operation
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        var holds = 0u;
        for (var lane = 0; lane < 32; lane++)
        {
            holds |= function(first[lane], second[lane]) ? 1u << lane : 0;
        }

        target.Store(warp, mask, holds);
    }
}

/// <summary>Several operations that make one instruction.</summary>
internal sealed class Sequence(Operation[] parts) : Operation
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        foreach (var part in parts)
        {
            part.Execute(warp, mask);
        }
    }
}

/// <summary>Lane by lane, bits of one operand put into another.</summary>
internal sealed unsafe class FieldInsertion<T>(
    int result, int a, int b, int c, int d, Func<T, T, uint, uint, T> function) : Operation
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (T*)(warp.Registers + result);
        var first = (T*)(warp.Registers + a);
        var second = (T*)(warp.Registers + b);
        var third = (uint*)(warp.Registers + c);
        var fourth = (uint*)(warp.Registers + d);
        for (; mask != 0; mask &= mask - 1)
        {
            var lane = BitOperations.TrailingZeroCount(mask);
            to[lane] = function(first[lane], second[lane], third[lane], fourth[lane]);
        }
    }
}
