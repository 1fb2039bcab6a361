namespace Asft.Kernels;

/// <summary>Reads and writes single elements of any storage type through float64, rounding to nearest even once.</summary>
internal static unsafe class ScalarElement
{
    public static double Read(void* data, ElementType type, long index) => type switch
    {
        ElementType.Float64 => ((double*)data)[index],
        ElementType.Float32 => ((float*)data)[index],
        ElementType.Float16 => (double)((Half*)data)[index],
        _ => BitConverter.UInt32BitsToSingle((uint)((ushort*)data)[index] << 16),
    };

    /// <summary>Writes one element; a null array is left alone.</summary>
    public static void Write(void* data, ElementType type, long index, double value)
    {
        if (data == null)
        {
            return;
        }

        switch (type)
        {
            case ElementType.Float64:
                ((double*)data)[index] = value;
                break;
            case ElementType.Float32:
                ((float*)data)[index] = (float)value;
                break;
            case ElementType.Float16:
                ((Half*)data)[index] = (Half)value;
                break;
            default:
                ((ushort*)data)[index] = ToBFloat16(value);
                break;
        }
    }

    /// <summary>
    /// float64 to bfloat16, rounded once. Going through float32 would round twice: rounding to odd first keeps the lost bits visible.
    /// </summary>
    private static ushort ToBFloat16(double value)
    {
        if (double.IsNaN(value))
        {
            return 0x7FC0;
        }

        float nearest = (float)value;
        uint bits = BitConverter.SingleToUInt32Bits(nearest);
        if (nearest != value && float.IsFinite(nearest) && (bits & 1) == 0)
        {
            // The neighbour on the other side of the exact value has an odd last bit.
            bits = Math.Abs((double)nearest) > Math.Abs(value) ? bits - 1 : bits + 1;
        }

        return (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
