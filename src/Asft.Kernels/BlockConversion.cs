using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Asft.Kernels;

/// <summary>
/// Copies of a stretch of logits between their storage type and the type of the arithmetic. Stretches are short enough to stay in
/// the first-level cache, so the arithmetic knows float and double only.
/// </summary>
internal static unsafe class BlockConversion
{
    /// <summary>Reads <paramref name="count"/> stored elements as <typeparamref name="T"/> (float or double).</summary>
    public static void Widen<T>(void* source, ElementType type, T* destination, int count)
        where T : unmanaged
    {
        if (typeof(T) == typeof(double))
        {
            for (int i = 0; i < count; i++)
            {
                ((double*)destination)[i] = ScalarElement.Read(source, type, i);
            }

            return;
        }

        float* floats = (float*)destination;
        switch (type)
        {
            case ElementType.BFloat16:
                WidenBFloat16((ushort*)source, floats, count);
                break;
            case ElementType.Float16:
                WidenHalf((ushort*)source, floats, count);
                break;
            case ElementType.Float64:
                for (int i = 0; i < count; i++)
                {
                    floats[i] = (float)((double*)source)[i];
                }

                break;
            default:
                Buffer.MemoryCopy(source, floats, (long)count * sizeof(float), (long)count * sizeof(float));
                break;
        }
    }

    /// <summary>
    /// Stores <paramref name="count"/> values, each rounded once to the nearest, ties to even. Rows that hold a NaN are written apart.
    /// </summary>
    public static void Narrow<T>(T* source, void* destination, ElementType type, int count)
        where T : unmanaged
    {
        switch (type)
        {
            case ElementType.BFloat16:
                NarrowBFloat16((float*)source, (ushort*)destination, count);
                break;
            case ElementType.Float16:
                NarrowHalf((float*)source, (ushort*)destination, count);
                break;
            default:
                long bytes = (long)count * sizeof(T);
                Buffer.MemoryCopy(source, destination, bytes, bytes);
                break;
        }
    }

    private static void WidenBFloat16(ushort* source, float* destination, int count)
    {
        int i = 0;
        for (; i <= count - 32; i += 32)
        {
            (Vector512<uint> low, Vector512<uint> high) = Vector512.Widen(Vector512.Load(source + i));
            (low << 16).AsSingle().Store(destination + i);
            (high << 16).AsSingle().Store(destination + i + 16);
        }

        for (; i < count; i++)
        {
            destination[i] = BFloat16Bits.Widen(source[i]);
        }
    }

    private static void NarrowBFloat16(float* source, ushort* destination, int count)
    {
        int i = 0;
        for (; i <= count - 32; i += 32)
        {
            Vector512.Narrow(RoundedToBFloat16(Vector512.Load(source + i)), RoundedToBFloat16(Vector512.Load(source + i + 16))).Store(destination + i);
        }

        for (; i < count; i++)
        {
            destination[i] = BFloat16Bits.Narrow(source[i]);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> RoundedToBFloat16(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        return (bits + Vector512.Create(0x7FFFu) + ((bits >> 16) & Vector512<uint>.One)) >> 16;
    }

    private static void WidenHalf(ushort* source, float* destination, int count)
    {
        int i = 0;
        for (; i <= count - 32; i += 32)
        {
            (Vector512<uint> low, Vector512<uint> high) = Vector512.Widen(Vector512.Load(source + i));
            HalfToSingle(low).Store(destination + i);
            HalfToSingle(high).Store(destination + i + 16);
        }

        for (; i < count; i++)
        {
            destination[i] = Float16Bits.Widen(source[i]);
        }
    }

    /// <summary>
    /// The half's exponent and mantissa, moved to where a float has them, make a number 2^112 too small; multiplying by 2^112 is exact,
    /// subnormals included. Only infinity and NaN need their exponent set.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> HalfToSingle(Vector512<uint> half)
    {
        Vector512<uint> magnitude = (half & Vector512.Create(0x7FFFu)) << 13;
        Vector512<uint> sign = (half & Vector512.Create(0x8000u)) << 16;
        Vector512<uint> finite = (magnitude.AsSingle() * Vector512.Create(0x77800000u).AsSingle()).AsUInt32();
        Vector512<uint> special = Vector512.GreaterThanOrEqual(magnitude, Vector512.Create(0x0F800000u));
        return (Vector512.ConditionalSelect(special, magnitude | Vector512.Create(0x7F800000u), finite) | sign).AsSingle();
    }

    private static void NarrowHalf(float* source, ushort* destination, int count)
    {
        int i = 0;
        for (; i <= count - 32; i += 32)
        {
            Vector512.Narrow(SingleToHalf(Vector512.Load(source + i)), SingleToHalf(Vector512.Load(source + i + 16))).Store(destination + i);
        }

        for (; i < count; i++)
        {
            destination[i] = Float16Bits.Narrow(source[i]);
        }
    }

    /// <summary>
    /// Round to nearest even: for a normal result in integer arithmetic on the bits; for a subnormal one by adding 0.5, whose last
    /// mantissa bit weighs 2^-24 as a half's does, so that the addition itself rounds. Above the largest half, infinity.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<uint> SingleToHalf(Vector512<float> value)
    {
        Vector512<uint> bits = value.AsUInt32();
        Vector512<uint> magnitude = bits & Vector512.Create(0x7FFFFFFFu);
        Vector512<uint> sign = (bits >> 16) & Vector512.Create(0x8000u);

        Vector512<uint> odd = (magnitude >> 13) & Vector512<uint>.One;
        Vector512<uint> normal = (magnitude + odd - Vector512.Create(0x38000000u - 0xFFFu)) >> 13;

        Vector512<float> half = Vector512.Create(0.5f);
        Vector512<uint> subnormal = (magnitude.AsSingle() + half).AsUInt32() - half.AsUInt32();

        Vector512<uint> result = Vector512.ConditionalSelect(
            Vector512.LessThan(magnitude, Vector512.Create(0x38800000u)), subnormal, normal);
        result = Vector512.ConditionalSelect(
            Vector512.GreaterThanOrEqual(magnitude, Vector512.Create(0x47800000u)), Vector512.Create(0x7C00u), result);
        return result | sign;
    }
}
