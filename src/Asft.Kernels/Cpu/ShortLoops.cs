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
    /// <returns>Their sum.</returns>
    public static T Exponentials<TFar>(T* x, T* p, int count, T multiplier, T point)
        where TFar : struct, ISwitch
    {
        TV m = TV.Create(multiplier);
        TV from = TV.Create(point);
        TV last = BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + count - TV.Count), m, from);
        TV sum = SimdMath<TV, T>.C(0);
        int i = 0;
        for (; i <= count - (2 * TV.Count); i += 2 * TV.Count)
        {
            (TV a, TV b) = SimdMath<TV, T>.Exp2(
                BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + i), m, from), BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + i + TV.Count), m, from));
            sum += a + b;
            TV.Store(a, p + i);
            TV.Store(b, p + i + TV.Count);
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
            }

            // Of the last register, only the lanes that no other has counted.
            sum += TV.Select(TV.Load(s_lanes), TV.Create(ScalarElement.FromDouble<T>(TV.Count - (count - i))), SimdMath<TV, T>.C(0), b);
            TV.Store(b, p + count - TV.Count);
        }

        return TV.Sum(sum);
    }

    /// <summary>The sum of exponentials times their arguments, for the entropy, and that of their squares.</summary>
    /// <param name="x">The logits, still there.</param>
    /// <param name="p">Their exponentials.</param>
    /// <param name="count">How many.</param>
    /// <param name="multiplier">As for the exponentials.</param>
    /// <param name="point">As for the exponentials.</param>
    /// <param name="squares">The sum of squares, with the headroom of one exponential.</param>
    public static T Entropy<TFar>(T* x, T* p, int count, T multiplier, T point, out T squares)
        where TFar : struct, ISwitch
    {
        TV m = TV.Create(multiplier);
        TV from = TV.Create(point);
        TV zero = SimdMath<TV, T>.C(0);
        TV unit = SimdMath<TV, T>.C(1 / SimdMath<TV, T>.HeadroomScale);
        TV entropy = zero;
        TV square = zero;
        int i = 0;
        for (; i <= count - TV.Count; i += TV.Count)
        {
            TV e = TV.Load(p + i);
            entropy = TV.MultiplyAdd(e, TV.KeepWhereGreater(e, zero, BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + i), m, from)), entropy);
            square = TV.MultiplyAdd(e, e * unit, square);
        }

        TV lanes = TV.Create(ScalarElement.FromDouble<T>(TV.Count - (count - i)));
        TV last = TV.Select(TV.Load(s_lanes), lanes, zero, TV.Load(p + count - TV.Count));
        TV argument = BlockLoops<TV, T>.Argument<TFar>(TV.Load(x + count - TV.Count), m, from);
        squares = TV.Sum(TV.MultiplyAdd(last, last * unit, square));
        return TV.Sum(TV.MultiplyAdd(last, TV.KeepWhereGreater(last, zero, argument), entropy));
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
