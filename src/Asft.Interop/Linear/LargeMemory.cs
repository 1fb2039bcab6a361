using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Large tensors of the linear loss, which do not make the C library's heap grow.</summary>
/// <remarks>
/// glibc takes blocks of up to 32 MiB from its heap once it has seen one of their size freed. Gradients as large as that, which live for about
/// a step, leave gaps there which aligned blocks of the same size do not fit into, and the heap grows by one at each step. A block above that
/// limit is mapped by itself and goes back to the system, or lies in a gap that is large enough already; memory that is not touched costs nothing.
/// </remarks>
internal static class LargeMemory
{
    /// <summary>Bytes from which on a tensor is large: mapping it costs less than a thousandth of what fills it.</summary>
    private const long Large = 1 << 20;

    /// <summary>Bytes of a block that glibc does not extend its heap for, whatever it has seen freed.</summary>
    internal const long Mapped = (32 << 20) + (64 << 10);

    /// <summary>A tensor, not initialized.</summary>
    /// <param name="shape">Its shape.</param>
    /// <param name="type">Any floating dtype that a loss takes.</param>
    /// <param name="device">Where it is to be.</param>
    public static Tensor Allocate(long[] shape, ScalarType type, Device device)
    {
        long size = type switch { ScalarType.Float64 => sizeof(double), ScalarType.Float32 => sizeof(float), _ => sizeof(ushort) };
        long elements = shape.Aggregate(1L, (product, length) => product * length);
        if (elements * size < Large || device.type != DeviceType.CPU || !OperatingSystem.IsLinux())
        {
            return TensorMemory.Empty(shape, type, device);
        }

        using Tensor whole = TensorMemory.Empty([Math.Max(elements, Mapped / size)], type, device);
        using Tensor part = whole.narrow(0, 0, elements);
        using Tensor shaped = part.view(shape);
        Tensor tensor = Move(shaped);
        TensorMemory.Advise(tensor);
        return tensor;
    }

    /// <summary>Moves the memory of a tensor to a new one; the old one, and whoever holds it, is left with none.</summary>
    public static Tensor Move(Tensor from)
    {
        Tensor to = TensorMemory.Empty([0], from.dtype, from.device).set_(from);
        using Tensor nothing = TensorMemory.Empty([0], from.dtype, from.device);
        from.set_(nothing);
        return to;
    }
}
