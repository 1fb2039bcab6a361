using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Asft.Kernels.Cpu.Simd;

/// <summary><see cref="ISimd{TSelf, T}"/> on registers of 128 bits.</summary>
internal readonly unsafe struct Simd128<T> : ISimd<Simd128<T>, T>
    where T : unmanaged
{
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
    public static Simd128<T> LoadBFloat16(ushort* source) =>
        new((Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(ulong*)source).AsUInt16()) << 16).As<uint, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(Simd128<T> value, ushort* destination)
    {
        Vector128<uint> bits = value._v.AsUInt32();
        Vector128<uint> upper = (bits + Vector128.Create(0x7FFFu) + ((bits >> 16) & Vector128<uint>.One)) >> 16;
        *(ulong*)destination = Vector128.Narrow(upper, upper).AsUInt64().ToScalar();
    }

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
    public static Simd128<T> PowerOfTwo(Simd128<T> shifted) => typeof(T) == typeof(float)
        ? new((Vector128.ShiftLeft(shifted._v.AsInt32(), 23) + Vector128.Create(0x3F800000)).As<int, T>())
        : new((Vector128.ShiftLeft(shifted._v.AsInt64(), 52) + Vector128.Create(0x3FF0000000000000)).As<long, T>());

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
}
