using System.Runtime.Intrinsics;
using Asft.PtxVm.Arithmetic;

namespace Asft.PtxVm.Execution;

/// <summary>Whether subnormal operands and results of a float32 function become 0.</summary>
internal interface IFlushing
{
    static abstract Vector256<float> Of(Vector256<float> value);
}

internal readonly struct Flushing : IFlushing
{
    public static Vector256<float> Of(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var tiny = Vector256.Equals(bits & Vector256.Create(0x7F800000u), Vector256<uint>.Zero);
        return Vector256.ConditionalSelect(tiny, bits & Vector256.Create(0x80000000u), bits).AsSingle();
    }
}

internal readonly struct NotFlushing : IFlushing
{
    public static Vector256<float> Of(Vector256<float> value) => value;
}

internal static class VectorFloats
{
    /// <summary>The GPU's one NaN in place of any.</summary>
    public static Vector256<float> Canonical(Vector256<float> value) =>
        Vector256.ConditionalSelect(Vector256.Equals(value, value), value, Vector256.Create(Floats.NaN32).AsSingle());

    public static Vector256<double> Canonical(Vector256<double> value) =>
        Vector256.ConditionalSelect(Vector256.Equals(value, value), value, Vector256.Create(Floats.NaN64).AsDouble());
}

internal readonly struct AddF32<TFlush> : IVectorFunction2<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b) =>
        TFlush.Of(VectorFloats.Canonical(TFlush.Of(a) + TFlush.Of(b)));
}

internal readonly struct SubF32<TFlush> : IVectorFunction2<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b) =>
        TFlush.Of(VectorFloats.Canonical(TFlush.Of(a) - TFlush.Of(b)));
}

internal readonly struct MulF32<TFlush> : IVectorFunction2<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b) =>
        TFlush.Of(VectorFloats.Canonical(TFlush.Of(a) * TFlush.Of(b)));
}

internal readonly struct FmaF32<TFlush> : IVectorFunction3<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b, Vector256<float> c) =>
        TFlush.Of(VectorFloats.Canonical(Vector256.FusedMultiplyAdd(TFlush.Of(a), TFlush.Of(b), TFlush.Of(c))));
}

internal readonly struct MinF32<TFlush> : IVectorFunction2<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b) =>
        VectorFloats.Canonical(Vector256.MinNumber(TFlush.Of(a), TFlush.Of(b)));
}

internal readonly struct MaxF32<TFlush> : IVectorFunction2<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b) =>
        VectorFloats.Canonical(Vector256.MaxNumber(TFlush.Of(a), TFlush.Of(b)));
}

internal readonly struct NegF32<TFlush> : IVectorFunction1<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a) => (TFlush.Of(a).AsUInt32() ^ Vector256.Create(0x80000000u)).AsSingle();
}

internal readonly struct AbsF32<TFlush> : IVectorFunction1<float>
    where TFlush : struct, IFlushing
{
    public static Vector256<float> Of(Vector256<float> a) => (TFlush.Of(a).AsUInt32() & Vector256.Create(0x7FFFFFFFu)).AsSingle();
}

internal readonly struct AddF64 : IVectorFunction2<double>
{
    public static Vector256<double> Of(Vector256<double> a, Vector256<double> b) => VectorFloats.Canonical(a + b);
}

internal readonly struct SubF64 : IVectorFunction2<double>
{
    public static Vector256<double> Of(Vector256<double> a, Vector256<double> b) => VectorFloats.Canonical(a - b);
}

internal readonly struct MulF64 : IVectorFunction2<double>
{
    public static Vector256<double> Of(Vector256<double> a, Vector256<double> b) => VectorFloats.Canonical(a * b);
}

internal readonly struct FmaF64 : IVectorFunction3<double>
{
    public static Vector256<double> Of(Vector256<double> a, Vector256<double> b, Vector256<double> c) =>
        VectorFloats.Canonical(Vector256.FusedMultiplyAdd(a, b, c));
}

internal readonly struct Add<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a + b;
}

internal readonly struct Sub<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a - b;
}

internal readonly struct Mul<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a * b;
}

internal readonly struct MulAdd<T> : IVectorFunction3<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b, Vector256<T> c) => a * b + c;
}

internal readonly struct Minimum<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Min(a, b);
}

internal readonly struct Maximum<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Max(a, b);
}

internal readonly struct And<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a & b;
}

internal readonly struct Or<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a | b;
}

internal readonly struct Xor<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => a ^ b;
}

internal readonly struct Not<T> : IVectorFunction1<T>
{
    public static Vector256<T> Of(Vector256<T> a) => ~a;
}

internal readonly struct Equal<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Equals(a, b);
}

internal readonly struct Less<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.LessThan(a, b);
}

internal readonly struct LessOrEqual<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.LessThanOrEqual(a, b);
}

internal readonly struct Greater<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.GreaterThan(a, b);
}

internal readonly struct GreaterOrEqual<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.GreaterThanOrEqual(a, b);
}

/// <summary>Neither is NaN, and they differ.</summary>
internal readonly struct LessOrGreater<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.LessThan(a, b) | Vector256.GreaterThan(a, b);
}

/// <summary>Neither is NaN.</summary>
internal readonly struct Ordered<T> : IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) => Vector256.Equals(a, a) & Vector256.Equals(b, b);
}

/// <summary>A float32 comparison after subnormal operands became 0.</summary>
internal readonly struct Flushed<TFunction> : IVectorFunction2<float>
    where TFunction : struct, IVectorFunction2<float>
{
    public static Vector256<float> Of(Vector256<float> a, Vector256<float> b) => TFunction.Of(Flushing.Of(a), Flushing.Of(b));
}

/// <summary>A comparison of the low halves of lanes: shifted to the top, they compare as whole lanes do.</summary>
internal readonly struct LowHalves<T, TFunction> : IVectorFunction2<T>
    where TFunction : struct, IVectorFunction2<T>
{
    public static Vector256<T> Of(Vector256<T> a, Vector256<T> b) =>
        TFunction.Of((a.AsUInt32() << 16).As<uint, T>(), (b.AsUInt32() << 16).As<uint, T>());
}
