using ILGPU;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>How a logit is stored: conversions between its storage and the type of the arithmetic.</summary>
/// <typeparam name="TStorage">What lies in memory; the 16-bit types are words, so that no device needs to know them.</typeparam>
/// <typeparam name="T">The type of the arithmetic.</typeparam>
internal interface IElement<TStorage, T>
    where TStorage : unmanaged
    where T : unmanaged
{
    static abstract T Load(TStorage stored);

    /// <summary>Rounds to the nearest, of two equally near to the even one.</summary>
    static abstract TStorage Store(T value);
}

internal readonly struct Float32Element : IElement<float, float>, IElement<float, double>
{
    static float IElement<float, float>.Load(float stored) => stored;

    static float IElement<float, float>.Store(float value) => value;

    static double IElement<float, double>.Load(float stored) => stored;

    static float IElement<float, double>.Store(double value) => (float)value;
}

internal readonly struct Float64Element : IElement<double, float>, IElement<double, double>
{
    static float IElement<double, float>.Load(double stored) => (float)stored;

    static double IElement<double, float>.Store(float value) => value;

    static double IElement<double, double>.Load(double stored) => stored;

    static double IElement<double, double>.Store(double value) => value;
}

/// <summary>bfloat16: the upper half of a float32.</summary>
internal readonly struct BFloat16Element : IElement<ushort, float>, IElement<ushort, double>
{
    static float IElement<ushort, float>.Load(ushort stored) => Widen(stored);

    static ushort IElement<ushort, float>.Store(float value) => Narrow(value);

    static double IElement<ushort, double>.Load(ushort stored) => Widen(stored);

    static ushort IElement<ushort, double>.Store(double value) => Narrow((float)value);

    private static float Widen(ushort stored) => Interop.IntAsFloat((uint)stored << 16);

    private static ushort Narrow(float value)
    {
        uint bits = Interop.FloatAsInt(value);
        return (bits & 0x7FFFFFFF) > 0x7F800000
            ? (ushort)0x7FC0 // NaN, whose payload rounding might carry into an infinity
            : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}

/// <summary>IEEE binary16, by moves of bits.</summary>
internal readonly struct Float16Element : IElement<ushort, float>, IElement<ushort, double>
{
    private const uint Infinity32 = 0x7F800000;
    private const uint Infinity16 = 0x7C00;
    private const uint SmallestNormal16 = 0x0400;

    /// <summary>2^-14, the smallest normal binary16, as the bits of a float32.</summary>
    private const uint SmallestNormal = 0x38800000;

    /// <summary>65520, from which on rounding gives infinity.</summary>
    private const uint Overflow = 0x477FF000;

    /// <summary>The difference of the exponents' biases, where a float32 has its exponent.</summary>
    private const uint Bias = 112u << 23;

    /// <summary>Units of the smallest subnormal binary16 in 1.</summary>
    private const float Subnormals = 1 << 24;

    /// <summary>Adding this to a number below 2^22 leaves it rounded to an integer in the low bits.</summary>
    private const float Rounder = 1 << 23;

    static float IElement<ushort, float>.Load(ushort stored) => Widen(stored);

    static ushort IElement<ushort, float>.Store(float value) => Narrow(value);

    static double IElement<ushort, double>.Load(ushort stored) => Widen(stored);

    static ushort IElement<ushort, double>.Store(double value) => Narrow((float)value);

    private static float Widen(ushort stored)
    {
        uint sign = ((uint)stored & 0x8000) << 16;
        uint magnitude = (uint)stored & 0x7FFF;
        uint bits = magnitude < SmallestNormal16
            ? Interop.FloatAsInt((int)magnitude * (1 / Subnormals)) // through an integer: devices may flush a subnormal float32 to 0
            : magnitude < Infinity16 ? (magnitude << 13) + Bias : (magnitude << 13) | Infinity32;
        return Interop.IntAsFloat(bits | sign);
    }

    private static ushort Narrow(float value)
    {
        uint bits = Interop.FloatAsInt(value);
        uint sign = (bits >> 16) & 0x8000;
        bits &= 0x7FFFFFFF;
        uint narrow = bits > Infinity32 ? 0x7E00
            : bits >= Overflow ? Infinity16
            : bits < SmallestNormal ? Interop.FloatAsInt((Interop.IntAsFloat(bits) * Subnormals) + Rounder) & 0xFFFF
            : (bits - Bias + 0x0FFF + ((bits >> 13) & 1)) >> 13;
        return (ushort)(narrow | sign);
    }
}
