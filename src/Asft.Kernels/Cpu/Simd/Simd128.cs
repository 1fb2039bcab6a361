using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Asft.Kernels.Cpu.Simd;

/// <summary><see cref="ISimd{TSelf, T}"/> on registers of 128 bits.</summary>
internal readonly unsafe struct Simd128<T> : ISimd<Simd128<T>, T>
    where T : unmanaged
{
    private const int Headroom = SimdMath<Simd128<T>, T>.Headroom;

    private readonly Vector128<T> _v;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Simd128(Vector128<T> v) => _v = v;

    public static int Count => Vector128<T>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Create(T value) => new(Vector128.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Load(T* source) => new(Vector128.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd128<T> value, T* destination) => value._v.Store(destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Simd128<T> Even, Simd128<T> Odd) LoadBFloat16(ushort* source)
    {
        Vector128<uint> pairs = Vector128.Load((uint*)source);
        return (new((pairs << 16).As<uint, T>()), new((pairs & Vector128.Create(0xFFFF0000u)).As<uint, T>()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(Simd128<T> even, Simd128<T> odd, ushort* destination) =>
        ((Rounded(even) >> 16) | (Rounded(odd) & Vector128.Create(0xFFFF0000u))).Store((uint*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> operator +(Simd128<T> left, Simd128<T> right) => new(left._v + right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> operator -(Simd128<T> left, Simd128<T> right) => new(left._v - right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> operator *(Simd128<T> left, Simd128<T> right) => new(left._v * right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> operator /(Simd128<T> left, Simd128<T> right) => new(left._v / right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> MultiplyAdd(Simd128<T> a, Simd128<T> b, Simd128<T> c) => typeof(T) == typeof(float)
        ? new(Vector128.MultiplyAddEstimate(a._v.AsSingle(), b._v.AsSingle(), c._v.AsSingle()).As<float, T>())
        : new(Vector128.MultiplyAddEstimate(a._v.AsDouble(), b._v.AsDouble(), c._v.AsDouble()).As<double, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Max(Simd128<T> left, Simd128<T> right) => new(Vector128.MaxNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Min(Simd128<T> left, Simd128<T> right) => new(Vector128.MinNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Abs(Simd128<T> value) => new(Vector128.Abs(value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> ZeroWhereLess(Simd128<T> left, Simd128<T> right, Simd128<T> value) =>
        new(Vector128.ConditionalSelect(Vector128.LessThan(left._v, right._v), Vector128<T>.Zero, value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> KeepWhereGreater(Simd128<T> left, Simd128<T> right, Simd128<T> value) =>
        new(Vector128.ConditionalSelect(Vector128.GreaterThan(left._v, right._v), value._v, Vector128<T>.Zero));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Select(Simd128<T> left, Simd128<T> lessThan, Simd128<T> then, Simd128<T> otherwise) =>
        new(Vector128.ConditionalSelect(Vector128.LessThan(left._v, lessThan._v), then._v, otherwise._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong EqualLanes(Simd128<T> left, Simd128<T> right) => Vector128.Equals(left._v, right._v).ExtractMostSignificantBits();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> Split(Simd128<T> t, out Simd128<T> n)
    {
        // Adding 1.5 * 2^(mantissa bits) rounds, and leaves the integer in the low bits. Max keeps its second operand when that is a NaN.
        Vector128<T> shift = typeof(T) == typeof(float)
            ? Vector128.Create(12582912f).As<float, T>()
            : Vector128.Create(6755399441055744.0).As<double, T>();
        Vector128<T> lowest = typeof(T) == typeof(float)
            ? Vector128.Create(-127f - Headroom).As<float, T>()
            : Vector128.Create(-1023.0 - Headroom).As<double, T>();
        Vector128<T> bounded = Vector128.MaxNative(lowest, t._v);
        Vector128<T> shifted = bounded + shift;
        n = new(shifted);
        return new(bounded - (shifted - shift));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd128<T> TimesPowerOfTwo(Simd128<T> q, Simd128<T> n)
    {
        // Exponent bits of the integer in the low bits and the headroom: 0 for the lowest.
        return q * (typeof(T) == typeof(float)
            ? new((Vector128.ShiftLeft(n._v.AsInt32(), 23) + Vector128.Create((127 + Headroom) << 23)).As<int, T>())
            : new Simd128<T>((Vector128.ShiftLeft(n._v.AsInt64(), 52) + Vector128.Create((1023L + Headroom) << 52)).As<long, T>()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sum(Simd128<T> value) => Vector128.Sum(value._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MaxLane(Simd128<T> value)
    {
        Vector128<T> halves = Vector128.MaxNative(
            value._v, Vector128.Shuffle(value._v.AsInt64(), Vector128.Create(1L, 0L)).As<long, T>());
        return typeof(T) == typeof(double)
            ? halves.ToScalar()
            : Vector128.MaxNative(halves, Vector128.Shuffle(halves.AsInt32(), Vector128.Create(1, 0, 3, 2)).As<int, T>()).ToScalar();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MinLane(Simd128<T> value)
    {
        Vector128<T> halves = Vector128.MinNative(
            value._v, Vector128.Shuffle(value._v.AsInt64(), Vector128.Create(1L, 0L)).As<long, T>());
        return typeof(T) == typeof(double)
            ? halves.ToScalar()
            : Vector128.MinNative(halves, Vector128.Shuffle(halves.AsInt32(), Vector128.Create(1, 0, 3, 2)).As<int, T>()).ToScalar();
    }

    /// <summary>The bits of a float, of which the upper half is the nearest bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> Rounded(Simd128<T> value)
    {
        Vector128<uint> bits = value._v.AsUInt32();
        return bits + Vector128.Create(0x7FFFu) + ((bits >> 16) & Vector128<uint>.One);
    }
}
