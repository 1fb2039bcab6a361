using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Asft.Kernels.Cpu.Simd;

/// <summary><see cref="ISimd{TSelf, T}"/> on registers of 512 bits.</summary>
internal readonly unsafe struct Simd512<T> : ISimd<Simd512<T>, T>
    where T : unmanaged
{
    private const int Headroom = SimdMath<Simd512<T>, T>.Headroom;

    private readonly Vector512<T> _v;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Simd512(Vector512<T> v) => _v = v;

    public static int Count => Vector512<T>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Create(T value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Load(T* source) => new(Vector512.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd512<T> value, T* destination) => value._v.Store(destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Simd512<T> Even, Simd512<T> Odd) LoadBFloat16(ushort* source)
    {
        Vector512<uint> pairs = Vector512.Load((uint*)source);
        return (new((pairs << 16).As<uint, T>()), new((pairs & Vector512.Create(0xFFFF0000u)).As<uint, T>()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(Simd512<T> even, Simd512<T> odd, ushort* destination) =>
        ((Rounded(even) >> 16) | (Rounded(odd) & Vector512.Create(0xFFFF0000u))).Store((uint*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> operator +(Simd512<T> left, Simd512<T> right) => new(left._v + right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> operator -(Simd512<T> left, Simd512<T> right) => new(left._v - right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> operator *(Simd512<T> left, Simd512<T> right) => new(left._v * right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> operator /(Simd512<T> left, Simd512<T> right) => new(left._v / right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> MultiplyAdd(Simd512<T> a, Simd512<T> b, Simd512<T> c) => typeof(T) == typeof(float)
        ? new(Vector512.MultiplyAddEstimate(a._v.AsSingle(), b._v.AsSingle(), c._v.AsSingle()).As<float, T>())
        : new(Vector512.MultiplyAddEstimate(a._v.AsDouble(), b._v.AsDouble(), c._v.AsDouble()).As<double, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Max(Simd512<T> left, Simd512<T> right) => new(Vector512.MaxNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Min(Simd512<T> left, Simd512<T> right) => new(Vector512.MinNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Abs(Simd512<T> value) => new(Vector512.Abs(value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> ZeroWhereLess(Simd512<T> left, Simd512<T> right, Simd512<T> value) =>
        new(Vector512.ConditionalSelect(Vector512.LessThan(left._v, right._v), Vector512<T>.Zero, value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> KeepWhereGreater(Simd512<T> left, Simd512<T> right, Simd512<T> value) =>
        new(Vector512.ConditionalSelect(Vector512.GreaterThan(left._v, right._v), value._v, Vector512<T>.Zero));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Select(Simd512<T> left, Simd512<T> lessThan, Simd512<T> then, Simd512<T> otherwise) =>
        new(Vector512.ConditionalSelect(Vector512.LessThan(left._v, lessThan._v), then._v, otherwise._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong EqualLanes(Simd512<T> left, Simd512<T> right) => Vector512.Equals(left._v, right._v).ExtractMostSignificantBits();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> Split(Simd512<T> t, out Simd512<T> n)
    {
        if (Avx512DQ.IsSupported)
        {
            // The instruction gives t - round(t); of -inf, 0.
            Simd512<T> r = typeof(T) == typeof(float)
                ? new(Avx512DQ.Reduce(t._v.AsSingle(), 0).As<float, T>())
                : new(Avx512DQ.Reduce(t._v.AsDouble(), 0).As<double, T>());
            n = t - r;
            return r;
        }

        // Adding 1.5 * 2^(mantissa bits) rounds, and leaves the integer in the low bits. Max keeps its second operand when that is a NaN.
        Simd512<T> shift = new(typeof(T) == typeof(float)
            ? Vector512.Create(12582912f).As<float, T>()
            : Vector512.Create(6755399441055744.0).As<double, T>());
        Simd512<T> lowest = new(typeof(T) == typeof(float)
            ? Vector512.Create(-127f - Headroom).As<float, T>()
            : Vector512.Create(-1023.0 - Headroom).As<double, T>());
        t = Max(lowest, t);
        n = t + shift;
        return t - (n - shift);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd512<T> TimesPowerOfTwo(Simd512<T> q, Simd512<T> n)
    {
        if (Avx512F.IsSupported)
        {
            return typeof(T) == typeof(float)
                ? new(Avx512F.Scale(q._v.AsSingle(), n._v.AsSingle()).As<float, T>())
                : new(Avx512F.Scale(q._v.AsDouble(), n._v.AsDouble()).As<double, T>());
        }

        // Exponent bits of the integer in the low bits and the headroom: 0 for the lowest.
        return q * (typeof(T) == typeof(float)
            ? new((Vector512.ShiftLeft(n._v.AsInt32(), 23) + Vector512.Create((127 + Headroom) << 23)).As<int, T>())
            : new Simd512<T>((Vector512.ShiftLeft(n._v.AsInt64(), 52) + Vector512.Create((1023L + Headroom) << 52)).As<long, T>()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sum(Simd512<T> value) => Vector512.Sum(value._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MaxLane(Simd512<T> value) =>
        Simd256<T>.MaxLane(new Simd256<T>(Vector256.MaxNative(value._v.GetLower(), value._v.GetUpper())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MinLane(Simd512<T> value) =>
        Simd256<T>.MinLane(new Simd256<T>(Vector256.MinNative(value._v.GetLower(), value._v.GetUpper())));

    /// <summary>The bits of a float, of which the upper half is the nearest bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> Rounded(Simd512<T> value)
    {
        Vector512<uint> bits = value._v.AsUInt32();
        return bits + Vector512.Create(0x7FFFu) + ((bits >> 16) & Vector512<uint>.One);
    }
}
