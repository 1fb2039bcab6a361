using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// A storage type that the inner loops read and write without a detour, two registers at a time. The others (float16, and any type
/// under a scale or softcap) are converted block by block, see <see cref="BlockConversion"/>.
/// </summary>
internal unsafe interface IElement<TV>
{
    static abstract ElementType Type { get; }

    /// <summary>Bytes of an element.</summary>
    static abstract int Size { get; }

    static abstract (TV A, TV B) Load(void* row, long index);

    static abstract void Store(TV a, TV b, void* row, long index);

    /// <summary>Where an element of a block comes to lie when the registers are stored one after the other.</summary>
    static abstract long Place(long index);
}

/// <summary>The type of the arithmetic itself, float or double.</summary>
internal readonly unsafe struct Native<TV, T> : IElement<TV>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    public static ElementType Type => typeof(T) == typeof(float) ? ElementType.Float32 : ElementType.Float64;

    public static int Size => sizeof(T);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (TV A, TV B) Load(void* row, long index) =>
        (TV.Load((T*)row + index), TV.Load((T*)row + index + TV.Count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(TV a, TV b, void* row, long index)
    {
        TV.Store(a, (T*)row + index);
        TV.Store(b, (T*)row + index + TV.Count);
    }

    public static long Place(long index) => index;
}

/// <summary>bfloat16, with arithmetic in float. What goes on between reading and writing does not mind the order of the elements.</summary>
internal readonly unsafe struct BFloat16<TV, T> : IElement<TV>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    public static ElementType Type => ElementType.BFloat16;

    public static int Size => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (TV A, TV B) Load(void* row, long index) => TV.LoadBFloat16((ushort*)row + index);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(TV a, TV b, void* row, long index) => TV.StoreBFloat16(a, b, (ushort*)row + index);

    public static long Place(long index)
    {
        long within = index % (2 * TV.Count);
        return index - within + (within / 2) + (within % 2 * TV.Count);
    }
}
