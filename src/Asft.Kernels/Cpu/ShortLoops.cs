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

    /// <summary>Elements that are compared at a time: as many as a word has bits.</summary>
    private const int Bits = 64;

    /// <summary>Largest element; NaN is passed over (the exponentials will meet it).</summary>
    public static T Max(T* x, int count) => Max<Off>(x, count, out _);

    /// <summary>Largest element, and the position of the first that equals it; -1 if none does, for a NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Max(T* x, int count, out int first)
    {
        // To note where the maximum was met takes its time, more than a search through a few registers.
        int start = 0;
        T max = count > 2 * Bits ? Max<On>(x, count, out start) : Max<Off>(x, count, out _);
        first = FirstEqual(x, start, count, max);
        return max;
    }

    /// <summary>Largest element.</summary>
    /// <param name="x">The elements.</param>
    /// <param name="count">How many, at least a register of them.</param>
    /// <param name="start">A position of at most a few registers before the first element that equals it.</param>
    /// <typeparam name="TStart">Whether that is wanted.</typeparam>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static T Max<TStart>(T* x, int count, out int start)
        where TStart : struct, ISwitch
    {
        const int Group = 4;
        TV one = SimdMath<TV, T>.C(1);
        TV group = SimdMath<TV, T>.C(0);
        TV groups = group; // where each lane's maximum was met first
        TV max = TV.Load(x);
        int i = 0;
        for (; i <= count - (Group * TV.Count); i += Group * TV.Count)
        {
            TV a = TV.Max(TV.Load(x + i), TV.Load(x + i + TV.Count));
            TV b = TV.Max(TV.Load(x + i + (2 * TV.Count)), TV.Load(x + i + (3 * TV.Count)));
            TV next = TV.Max(a, b);
            groups = TStart.On ? TV.Select(max, next, group, groups) : groups;
            max = TV.Max(next, max);
            group = TStart.On ? group + one : group;
        }

        TV last = TV.Load(x + count - TV.Count);
        for (; i <= count - TV.Count; i += TV.Count)
        {
            last = TV.Max(TV.Load(x + i), last);
        }

        groups = TStart.On ? TV.Select(max, last, group, groups) : groups;
        max = TV.Max(last, max);
        T largest = TV.MaxLane(max);
        start = TStart.On ? (int)ScalarElement.ToDouble(TV.MinLane(TV.Select(max, TV.Create(largest), group, groups))) * Group * TV.Count : 0;
        return largest;
    }

    /// <summary>Position of the first element from some on that equals a value; -1 if none does.</summary>
    private static int FirstEqual(T* x, int start, int count, T value)
    {
        // Where among those of a word the element is, no branch depends on.
        TV v = TV.Create(value);
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
    /// <typeparam name="TEntropy">Which sums are wanted beside their own.</typeparam>
    /// <returns>Their sum, the sum of each times its argument, and that of their squares, with the headroom of one exponential.</returns>
    public static (T Sum, T Arguments, T Squares) Exponentials<TFar, TEntropy>(T* x, T* p, int count, T multiplier, T point)
        where TFar : struct, ISwitch
        where TEntropy : struct, IEntropy
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
            BlockLoops<TV, T>.AddEntropy<TEntropy>(a, tA, ref arguments, ref squares);
            BlockLoops<TV, T>.AddEntropy<TEntropy>(b, tB, ref arguments, ref squares);
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
                BlockLoops<TV, T>.AddEntropy<TEntropy>(a, next, ref arguments, ref squares);
            }

            // Of the last register, only the lanes that no other has counted.
            TV.Store(b, p + count - TV.Count);
            b = TV.Select(TV.Load(s_lanes), TV.Create(ScalarElement.FromDouble<T>(TV.Count - (count - i))), zero, b);
            sum += b;
            BlockLoops<TV, T>.AddEntropy<TEntropy>(b, last, ref arguments, ref squares);
        }

        return (TV.Sum(sum), TEntropy.On ? TV.Sum(arguments) : default, TEntropy.HasSquares ? TV.Sum(squares) : default);
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
