using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Asft.Bench.Problems;

/// <summary>Where a tensor's memory begins.</summary>
public static unsafe class TensorAddress
{
    /// <summary>Address of the first byte of a tensor in host memory, whatever its element type and size.</summary>
    public static nint Address(this Tensor tensor)
    {
        // TorchSharp hands out addresses only of contiguous tensors of less than 2 GiB: one element always is one.
        using Tensor first = tensor.detach().as_strided([1], [1]);
        return (nint)Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.bytes));
    }
}
