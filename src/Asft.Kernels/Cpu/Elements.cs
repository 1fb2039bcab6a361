using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// A storage type that the inner loops read and write without a detour. The others (float16, and any type under a scale or softcap)
/// are converted block by block, see <see cref="Storage"/>.
/// </summary>
internal unsafe interface IElement<TV>
{
    static abstract ElementType Type { get; }

    static abstract TV Load(void* row, long index);

    static abstract void Store(TV value, void* row, long index);
}

/// <summary>The type of the arithmetic itself, float or double.</summary>
internal readonly unsafe struct Native<TV, T> : IElement<TV>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    public static ElementType Type => typeof(T) == typeof(float) ? ElementType.Float32 : ElementType.Float64;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TV Load(void* row, long index) => TV.Load((T*)row + index);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(TV value, void* row, long index) => TV.Store(value, (T*)row + index);
}

/// <summary>bfloat16, with arithmetic in float.</summary>
internal readonly unsafe struct Brain<TV, T> : IElement<TV>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    public static ElementType Type => ElementType.BFloat16;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TV Load(void* row, long index) => TV.LoadBFloat16((ushort*)row + index);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(TV value, void* row, long index) => TV.StoreBFloat16(value, (ushort*)row + index);
}
