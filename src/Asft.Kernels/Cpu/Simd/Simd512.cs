using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Asft.Kernels.Cpu.Simd;

/// <summary><see cref="ISimd{TSelf, T}"/> on registers of 512 bits.</summary>
internal readonly unsafe struct Simd512<T> : ISimd<Simd512<T>, T>
    where T : unmanaged
{
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
    public static Simd512<T> LoadBFloat16(ushort* source) =>
        new((Vector512.WidenLower(Vector256.Load(source).ToVector512Unsafe()) << 16).As<uint, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBFloat16(Simd512<T> value, ushort* destination)
    {
        Vector512<uint> bits = value._v.AsUInt32();
        Vector512<uint> upper = (bits + Vector512.Create(0x7FFFu) + ((bits >> 16) & Vector512<uint>.One)) >> 16;
        if (Avx512F.IsSupported)
        {
            Avx512F.ConvertToVector256UInt16(upper).Store(destination);
        }
        else
        {
            Vector512.Narrow(upper, upper).GetLower().Store(destination);
        }
    }

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
    public static Simd512<T> PowerOfTwo(Simd512<T> shifted) => typeof(T) == typeof(float)
        ? new((Vector512.ShiftLeft(shifted._v.AsInt32(), 23) + Vector512.Create(0x3F800000)).As<int, T>())
        : new((Vector512.ShiftLeft(shifted._v.AsInt64(), 52) + Vector512.Create(0x3FF0000000000000)).As<long, T>());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Sum(Simd512<T> value) => Vector512.Sum(value._v);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MaxLane(Simd512<T> value) =>
        Simd256<T>.MaxLane(new Simd256<T>(Vector256.MaxNative(value._v.GetLower(), value._v.GetUpper())));
}
