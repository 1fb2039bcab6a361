using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Asft.PtxVm.Arithmetic;

namespace Asft.PtxVm.Execution;

/// <summary>float16 and bfloat16 in the low halves of lanes, to float32 and back, to nearest.</summary>
internal interface IHalfFormat
{
    static abstract Vector256<float> Widen(Vector256<uint> half);

    static abstract Vector256<uint> Narrow(Vector256<float> value);
}

internal readonly struct BFloat16Format : IHalfFormat
{
    public static Vector256<float> Widen(Vector256<uint> half) => (half << 16).AsSingle();

    public static Vector256<uint> Narrow(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var rounded = bits + Vector256.Create(0x7FFFu) + ((bits >> 16) & Vector256<uint>.One) >> 16;
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), rounded, Vector256.Create(Floats.NaN16));
    }
}

internal readonly struct Float16Format : IHalfFormat
{
    private const uint LeastNormal = 0x38800000; // 2^-14 as float32
    private const uint BeyondLargest = 0x47800000; // 2^16

    public static Vector256<float> Widen(Vector256<uint> half)
    {
        // the exponent is moved by a multiplication, which is right for subnormals too
        var magnitude = (half & Vector256.Create(0x7FFFu)) << 13;
        var scaled = (magnitude.AsSingle() * Vector256.Create(5.192296858534828e33f)).AsUInt32(); // 2^112
        var special = Vector256.GreaterThanOrEqual(magnitude, Vector256.Create(0x7C00u << 13));
        scaled = Vector256.ConditionalSelect(special, magnitude | Vector256.Create(0x7F800000u), scaled);
        return (scaled | ((half & Vector256.Create(0x8000u)) << 16)).AsSingle();
    }

    public static Vector256<uint> Narrow(Vector256<float> value)
    {
        var bits = value.AsUInt32();
        var magnitude = bits & Vector256.Create(0x7FFFFFFFu);
        var clamped = Vector256.Min(magnitude, Vector256.Create(BeyondLargest));
        var normal = clamped - Vector256.Create(112u << 23) + Vector256.Create(0xFFFu) + ((clamped >> 13) & Vector256<uint>.One) >> 13;

        // 0.5 has the last place where a subnormal float16 has its own: adding it rounds there
        var subnormal = (clamped.AsSingle() + Vector256.Create(0.5f)).AsUInt32() - Vector256.Create(0x3F000000u);
        var result = Vector256.ConditionalSelect(Vector256.LessThan(clamped, Vector256.Create(LeastNormal)), subnormal, normal);
        result |= (bits >> 16) & Vector256.Create(0x8000u);
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), result, Vector256.Create(Floats.NaN16));
    }
}

/// <summary>cvt.f32.f16, cvt.f32.bf16.</summary>
internal readonly struct Widen<TFormat> : IVectorFunction1<uint>
    where TFormat : struct, IHalfFormat
{
    public static Vector256<uint> Of(Vector256<uint> a) => VectorFloats.Canonical(TFormat.Widen(a)).AsUInt32();
}

/// <summary>cvt.rn.f16.f32, cvt.rn.bf16.f32.</summary>
internal readonly struct Narrow<TFormat> : IVectorFunction1<uint>
    where TFormat : struct, IHalfFormat
{
    public static Vector256<uint> Of(Vector256<uint> a) => TFormat.Narrow(a.AsSingle());
}

/// <summary>cvt.rn.f16x2.f32, cvt.rn.bf16x2.f32: the first operand goes to the upper half.</summary>
internal readonly struct NarrowTwo<TFormat> : IVectorFunction2<uint>
    where TFormat : struct, IHalfFormat
{
    public static Vector256<uint> Of(Vector256<uint> a, Vector256<uint> b) =>
        (TFormat.Narrow(a.AsSingle()) << 16) | TFormat.Narrow(b.AsSingle());
}

/// <summary>A function of float32 whose results the 16-bit format holds, such as a maximum, on both halves.</summary>
internal readonly struct OnHalves<TFormat, TFunction> : IVectorFunction2<uint>
    where TFormat : struct, IHalfFormat
    where TFunction : struct, IVectorFunction2<float>
{
    public static Vector256<uint> Of(Vector256<uint> a, Vector256<uint> b)
    {
        var low = Vector256.Create(0xFFFFu);
        var first = TFormat.Narrow(TFunction.Of(TFormat.Widen(a & low), TFormat.Widen(b & low)));
        return (TFormat.Narrow(TFunction.Of(TFormat.Widen(a >> 16), TFormat.Widen(b >> 16))) << 16) | first;
    }
}

/// <summary>mov.b32 d, {a, b}.</summary>
internal readonly struct PackHalves : IVectorFunction2<uint>
{
    public static Vector256<uint> Of(Vector256<uint> a, Vector256<uint> b) => a | (b << 16);
}

/// <summary>ex2.approx.f32 on a vector's worth of lanes.</summary>
internal sealed unsafe class Exponential(int result, int a, bool flush) : Operation
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Execute(Warp warp, uint mask)
    {
        var to = (float*)(warp.Registers + result);
        var from = (float*)(warp.Registers + a);
        var approximate = warp.Block.Approximation;
        for (var lane = 0; lane < 32; lane += Vector256<float>.Count)
        {
            LaneVectors.Store(approximate.Ex2(Vector256.Load(from + lane), flush), to, lane, mask);
        }
    }
}
