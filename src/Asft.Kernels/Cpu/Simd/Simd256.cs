using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Asft.Kernels.Cpu.Simd;

/// <summary><see cref="ISimd{TSelf, T}"/> on registers of 256 bits.</summary>
internal readonly unsafe struct Simd256<T> : ISimd<Simd256<T>, T>
    where T : unmanaged
{
    private const int Headroom = SimdMath<Simd256<T>, T>.Headroom;

    private readonly Vector256<T> _v;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal Simd256(Vector256<T> v) => _v = v;

    public static int Count => Vector256<T>.Count;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Create(T value) => new(Vector256.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Load(T* source) => new(Vector256.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(Simd256<T> value, T* destination) => value._v.Store(destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (Simd256<T> Even, Simd256<T> Odd) LoadBFloat16(ushort* source)
    {
        Vector256<uint> pairs = Vector256.Load((uint*)source);
        return (new((pairs << 16).As<uint, T>()), new((pairs & Vector256.Create(0xFFFF0000u)).As<uint, T>()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(Simd256<T> even, Simd256<T> odd, ushort* destination) =>
        ((Rounded(even) >> 16) | (Rounded(odd) & Vector256.Create(0xFFFF0000u))).Store((uint*)destination);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> operator +(Simd256<T> left, Simd256<T> right) => new(left._v + right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> operator -(Simd256<T> left, Simd256<T> right) => new(left._v - right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> operator *(Simd256<T> left, Simd256<T> right) => new(left._v * right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> operator /(Simd256<T> left, Simd256<T> right) => new(left._v / right._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> MultiplyAdd(Simd256<T> a, Simd256<T> b, Simd256<T> c) => typeof(T) == typeof(float)
        ? new(Vector256.MultiplyAddEstimate(a._v.AsSingle(), b._v.AsSingle(), c._v.AsSingle()).As<float, T>())
        : new(Vector256.MultiplyAddEstimate(a._v.AsDouble(), b._v.AsDouble(), c._v.AsDouble()).As<double, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Max(Simd256<T> left, Simd256<T> right) => new(Vector256.MaxNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Min(Simd256<T> left, Simd256<T> right) => new(Vector256.MinNative(left._v, right._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Abs(Simd256<T> value) => new(Vector256.Abs(value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> ZeroWhereLess(Simd256<T> left, Simd256<T> right, Simd256<T> value) =>
        new(Vector256.ConditionalSelect(Vector256.LessThan(left._v, right._v), Vector256<T>.Zero, value._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> KeepWhereGreater(Simd256<T> left, Simd256<T> right, Simd256<T> value) =>
        new(Vector256.ConditionalSelect(Vector256.GreaterThan(left._v, right._v), value._v, Vector256<T>.Zero));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Select(Simd256<T> left, Simd256<T> lessThan, Simd256<T> then, Simd256<T> otherwise) =>
        new(Vector256.ConditionalSelect(Vector256.LessThan(left._v, lessThan._v), then._v, otherwise._v));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong EqualLanes(Simd256<T> left, Simd256<T> right) => Vector256.Equals(left._v, right._v).ExtractMostSignificantBits();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> Split(Simd256<T> t, out Simd256<T> n)
    {
        // Adding 1.5 * 2^(mantissa bits) rounds, and leaves the integer in the low bits. Max keeps its second operand when that is a NaN.
        Vector256<T> shift = typeof(T) == typeof(float)
            ? Vector256.Create(12582912f).As<float, T>()
            : Vector256.Create(6755399441055744.0).As<double, T>();
        Vector256<T> lowest = typeof(T) == typeof(float)
            ? Vector256.Create(-127f - Headroom).As<float, T>()
            : Vector256.Create(-1023.0 - Headroom).As<double, T>();
        Vector256<T> bounded = Vector256.MaxNative(lowest, t._v);
        Vector256<T> shifted = bounded + shift;
        n = new(shifted);
        return new(bounded - (shifted - shift));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Simd256<T> TimesPowerOfTwo(Simd256<T> q, Simd256<T> n)
    {
        // Exponent bits of the integer in the low bits and the headroom: 0 for the lowest.
        return q * (typeof(T) == typeof(float)
            ? new((Vector256.ShiftLeft(n._v.AsInt32(), 23) + Vector256.Create((127 + Headroom) << 23)).As<int, T>())
            : new Simd256<T>((Vector256.ShiftLeft(n._v.AsInt64(), 52) + Vector256.Create((1023L + Headroom) << 52)).As<long, T>()));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sum(Simd256<T> value) => Vector256.Sum(value._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MaxLane(Simd256<T> value) =>
        Simd128<T>.MaxLane(new Simd128<T>(Vector128.MaxNative(value._v.GetLower(), value._v.GetUpper())));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MinLane(Simd256<T> value) =>
        Simd128<T>.MinLane(new Simd128<T>(Vector128.MinNative(value._v.GetLower(), value._v.GetUpper())));

    /// <summary>The bits of a float, of which the upper half is the nearest bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Rounded(Simd256<T> value)
    {
        Vector256<uint> bits = value._v.AsUInt32();
        return bits + Vector256.Create(0x7FFFu) + ((bits >> 16) & Vector256<uint>.One);
    }
}
