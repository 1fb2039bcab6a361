using System.Runtime.CompilerServices;

namespace Asft.Kernels;

/// <summary>Reads and writes single elements of any storage type through float64, rounding to nearest even once.</summary>
internal static unsafe class ScalarElement
{
    /// <summary>A number in the type of the arithmetic, float or double.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static double ToDouble<T>(T value) => typeof(T) == typeof(float) ? (float)(object)value! : (double)(object)value!;

    /// <summary>The nearest number in the type of the arithmetic.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T FromDouble<T>(double value) => typeof(T) == typeof(float) ? (T)(object)(float)value : (T)(object)value;

    public static double Read(void* data, ElementType type, long index) => type switch
    {
        ElementType.Float64 => ((double*)data)[index],
        ElementType.Float32 => ((float*)data)[index],
        ElementType.Float16 => (double)((Half*)data)[index],
        _ => BFloat16Bits.Widen(((ushort*)data)[index]),
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
                ((ushort*)data)[index] = BFloat16Bits.Narrow(value);
                break;
        }
    }
}
