using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// The inner loops over a row of any length from one register on, where it lies: the last register reaches back over what others have done
/// already. A copy that is padded would take as long as the arithmetic of a row of a few dozen logits.
/// </summary>
internal static unsafe class ShortLoops<TV, T>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    /// <summary>0, 1, 2 and so on, for the lanes of a register. Lives as long as the process.</summary>
    private static readonly T* s_lanes = Lanes();

    /// <summary>Largest element; NaN is passed over (the exponentials will meet it).</summary>
    public static T Max(T* x, int count)
    {
        TV a = TV.Load(x + count - TV.Count);
        TV b = a;
        int i = 0;
        for (; i <= count - (2 * TV.Count); i += 2 * TV.Count)
        {
            a = TV.Max(TV.Load(x + i), a);
            b = TV.Max(TV.Load(x + i + TV.Count), b);
        }

        if (i <= count - TV.Count)
        {
            b = TV.Max(TV.Load(x + i), b);
        }

        return TV.MaxLane(TV.Max(a, b));
    }

    /// <summary>Position of the first element that equals a value; -1 if none does.</summary>
    public static int FirstEqual(T* x, int count, T value)
    {
        // As many at a time as a word has bits: where in there the element is, no branch depends on.
        const int Bits = 64;
        TV v = TV.Create(value);
        int start = 0;
        ulong equal = 0;
        for (; start < count - Bits && equal == 0; start += Bits)
        {
            for (int i = 0; i < Bits; i += TV.Count)
            {
                equal |= TV.EqualLanes(TV.Load(x + start + i), v) << i;
            }
        }

        if (equal != 0)
        {
            return start - Bits + BitOperations.TrailingZeroCount(equal);
        }

        for (int i = start; i <= count - TV.Count; i += TV.Count)
        {
            equal |= TV.EqualLanes(TV.Load(x + i), v) << (i - start);
        }

        if (equal != 0)
        {
            return start + BitOperations.TrailingZeroCount(equal);
        }

        equal = TV.EqualLanes(TV.Load(x + count - TV.Count), v);
        return equal == 0 ? -1 : count - TV.Count + BitOperations.TrailingZeroCount(equal);
    }

    /// <summary>One exponential per logit, kept in <paramref name="p"/>, which may be where the logits are.</summary>
    /// <param name="x">The logits.</param>
    /// <param name="p">Where the exponentials go.</param>
    /// <param name="count">How many.</param>
    /// <param name="multiplier">As <see cref="BlockPoints{T}"/> has it.</param>
    /// <param name="point">Likewise.</param>
    /// <typeparam name="TFar">Whether the point is far from zero.</typeparam>
    /// <typeparam name="TEntropy">Whether sums for the entropy are wanted.</typeparam>
    /// <returns>Their sum, the sum of each times its argument, and that of their squares, with the headroom of one exponential.</returns>
    public static (T Sum, T Arguments, T Squares) Exponentials<TFar, TEntropy>(T* x, T* p, int count, T multiplier, T point)
        where TFar : struct, ISwitch
        where TEntropy : struct, ISwitch
    {
        TV m = TV.Create(multiplier);
        TV from = TV.Create(point);
        TV zero = SimdMath<TV, T>.C(0);
        TV last = BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + count - TV.Count), m, from);
        TV sum = zero;
        TV arguments = zero;
        TV squares = zero;
        int i = 0;
        for (; i <= count - (2 * TV.Count); i += 2 * TV.Count)
        {
            TV tA = BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + i), m, from);
            TV tB = BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + i + TV.Count), m, from);
            (TV a, TV b) = SimdMath<TV, T>.Exp2(tA, tB);
            sum += a + b;
            TV.Store(a, p + i);
            TV.Store(b, p + i + TV.Count);
            if (TEntropy.On)
            {
                AddEntropy(a, tA, ref arguments, ref squares);
                AddEntropy(b, tB, ref arguments, ref squares);
            }
        }

        bool another = i <= count - TV.Count;
        if (i < count)
        {
            TV next = another ? BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + i), m, from) : last;
            (TV a, TV b) = SimdMath<TV, T>.Exp2(next, last);
            if (another)
            {
                sum += a;
                TV.Store(a, p + i);
                i += TV.Count;
                if (TEntropy.On)
                {
                    AddEntropy(a, next, ref arguments, ref squares);
                }
            }

            // Of the last register, only the lanes that no other has counted.
            TV.Store(b, p + count - TV.Count);
            b = TV.Select(TV.Load(s_lanes), TV.Create(ScalarElement.FromDouble<T>(TV.Count - (count - i))), zero, b);
            sum += b;
            if (TEntropy.On)
            {
                AddEntropy(b, last, ref arguments, ref squares);
            }
        }

        return TEntropy.On ? (TV.Sum(sum), TV.Sum(arguments), TV.Sum(squares)) : (TV.Sum(sum), default, default);
    }

    /// <summary>An exponential times its argument, and its square. One of nothing counts for nothing, though its argument be -inf.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddEntropy(TV e, TV argument, ref TV arguments, ref TV squares)
    {
        arguments = TV.MultiplyAdd(e, TV.KeepWhereGreater(e, SimdMath<TV, T>.C(0), argument), arguments);
        squares = TV.MultiplyAdd(e, e * SimdMath<TV, T>.C(1 / SimdMath<TV, T>.HeadroomScale), squares);
    }

    /// <summary>The sum of what was kept.</summary>
    public static T Sum(T* p, int count)
    {
        TV sum = SimdMath<TV, T>.C(0);
        int i = 0;
        for (; i <= count - TV.Count; i += TV.Count)
        {
            sum += TV.Load(p + i);
        }

        TV lanes = TV.Create(ScalarElement.FromDouble<T>(TV.Count - (count - i)));
        return TV.Sum(sum + TV.Select(TV.Load(s_lanes), lanes, SimdMath<TV, T>.C(0), TV.Load(p + count - TV.Count)));
    }

    /// <summary>What was kept times a factor, where it is or elsewhere.</summary>
    public static void Multiply(T* p, T* destination, int count, T factor)
    {
        TV f = TV.Create(factor);
        TV last = TV.Load(p + count - TV.Count) * f;
        for (int i = 0; i <= count - TV.Count; i += TV.Count)
        {
            TV.Store(TV.Load(p + i) * f, destination + i);
        }

        TV.Store(last, destination + count - TV.Count);
    }

    /// <summary>Copies the first lanes of a register, and fills the others.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreFirst(T* x, T* destination, int count, TV others) =>
        TV.Store(TV.Select(TV.Load(s_lanes), TV.Create(ScalarElement.FromDouble<T>(count)), TV.Load(x), others), destination);

    private static T* Lanes()
    {
        T* lanes = (T*)NativeMemory.AlignedAlloc((nuint)(TV.Count * sizeof(T)), 64);
        for (int i = 0; i < TV.Count; i++)
        {
            lanes[i] = ScalarElement.FromDouble<T>(i);
        }

        return lanes;
    }
}
