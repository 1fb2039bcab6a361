using System.Runtime.CompilerServices;

namespace Asft.Kernels;

/// <summary>bfloat16, the upper half of a float32, by moves of bits that the JIT and ILGPU both compile.</summary>
internal static class BFloat16Bits
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Widen(ushort stored) => BitConverter.Int32BitsToSingle(stored << 16);

    /// <summary>Rounds to the nearest, of two equally near to the even one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort Narrow(float value)
    {
        uint bits = (uint)BitConverter.SingleToInt32Bits(value);
        return (bits & 0x7FFFFFFF) > 0x7F800000
            ? (ushort)0x7FC0 // NaN, whose payload rounding might carry into an infinity
            : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>
    /// From float64, rounded once. Going through float32 would round twice: rounding to odd first keeps the lost bits visible.
    /// </summary>
    public static ushort Narrow(double value)
    {
        float nearest = (float)value;
        int bits = BitConverter.SingleToInt32Bits(nearest);
        if (nearest != value && float.IsFinite(nearest) && (bits & 1) == 0)
        {
            // The neighbour on the other side of the exact value has an odd last bit.
            bits = Math.Abs((double)nearest) > Math.Abs(value) ? bits - 1 : bits + 1;
        }

        return Narrow(BitConverter.Int32BitsToSingle(bits));
    }
}

/// <summary>IEEE binary16, likewise.</summary>
internal static class Float16Bits
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Widen(ushort stored)
    {
        uint sign = ((uint)stored & 0x8000) << 16;
        uint magnitude = (uint)stored & 0x7FFF;
        uint bits = magnitude < SmallestNormal16
            ? (uint)BitConverter.SingleToInt32Bits((int)magnitude * (1 / Subnormals)) // through an integer: devices may flush a subnormal float32 to 0
            : magnitude < Infinity16 ? (magnitude << 13) + Bias : (magnitude << 13) | Infinity32;
        return BitConverter.Int32BitsToSingle((int)(bits | sign));
    }

    /// <summary>Rounds to the nearest, of two equally near to the even one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort Narrow(float value)
    {
        uint bits = (uint)BitConverter.SingleToInt32Bits(value);
        uint sign = (bits >> 16) & 0x8000;
        bits &= 0x7FFFFFFF;
        uint narrow = bits > Infinity32 ? 0x7E00
            : bits >= Overflow ? Infinity16
            : bits < SmallestNormal ? (uint)BitConverter.SingleToInt32Bits((BitConverter.Int32BitsToSingle((int)bits) * Subnormals) + Rounder) & 0xFFFF
            : (bits - Bias + 0x0FFF + ((bits >> 13) & 1)) >> 13;
        return (ushort)(narrow | sign);
    }
}
