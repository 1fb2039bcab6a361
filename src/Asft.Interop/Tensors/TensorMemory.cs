using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// From a tensor to what a kernel takes, and back. The temporary views made here belong to no graph: callers have autograd off.
/// </summary>
internal static unsafe class TensorMemory
{
    private static readonly Lazy<DataFunction> s_data = new(static () => new DataFunction());

    /// <summary>The kernel's name for a dtype; null for one that logits cannot have.</summary>
    public static ElementType? TypeOf(Tensor tensor) => tensor.dtype switch
    {
        ScalarType.Float32 => ElementType.Float32,
        ScalarType.Float64 => ElementType.Float64,
        ScalarType.Float16 => ElementType.Float16,
        ScalarType.BFloat16 => ElementType.BFloat16,
        _ => null,
    };

    /// <summary>Address of a tensor's first element on its device, whatever its dtype and strides; null when it has no elements.</summary>
    public static void* Pointer(Tensor tensor)
    {
        if (tensor.numel() == 0)
        {
            return null;
        }

        if (tensor.device_type != DeviceType.CPU)
        {
            return DevicePointer(tensor);
        }

        // TorchSharp hands out addresses only of contiguous tensors of less than 2 GiB: one element always is one.
        using Tensor first = tensor.as_strided([1], [1], tensor.storage_offset());
        return Unsafe.AsPointer(ref MemoryMarshal.GetReference(first.bytes));
    }

    /// <summary>The same for a tensor on any device.</summary>
    public static void* DevicePointer(Tensor tensor) => s_data.Value.Of(tensor);

    /// <summary>A new tensor, not initialized.</summary>
    public static Tensor Empty(long[] shape, ScalarType dtype, Device device) => torch.empty(shape, dtype, device);

    /// <summary>Tells the system that a new tensor is about to be written from end to end; see <see cref="HugePages"/>.</summary>
    public static void Advise(Tensor tensor)
    {
        if (tensor.device_type == DeviceType.CPU)
        {
            HugePages.Advise(Pointer(tensor), tensor.numel() * tensor.element_size());
        }
    }

    /// <summary>A new tensor without dimensions, float32 or float64.</summary>
    public static Tensor Scalar(double value, ScalarType dtype, Device device)
    {
        Tensor scalar = Empty([], dtype, device);
        if (device.type != DeviceType.CPU)
        {
            scalar.fill_(value);
        }
        else if (dtype == ScalarType.Float64)
        {
            *(double*)Pointer(scalar) = value;
        }
        else
        {
            *(float*)Pointer(scalar) = (float)value;
        }

        return scalar;
    }

    /// <summary>
    /// The only element of a tensor of any real type. Where the tensor is on a device, this waits for the device.
    /// </summary>
    public static double First(Tensor tensor)
    {
        if (tensor.device_type == DeviceType.CPU && tensor.dtype is ScalarType.Float32 or ScalarType.Float64)
        {
            return tensor.dtype == ScalarType.Float64 ? *(double*)Pointer(tensor) : *(float*)Pointer(tensor);
        }

        using Tensor onHost = tensor.to(ScalarType.Float64, CPU);
        return *(double*)Pointer(onHost);
    }

    /// <summary>
    /// The same tensor with its signs in memory. Torch negates the imaginary part of a conjugated tensor only when it is looked at: until
    /// then, the view has a bit that tells so, and its memory the opposite sign.
    /// </summary>
    public static Tensor Resolved(Tensor tensor) => tensor.is_neg() ? tensor.resolve_neg() : tensor;

    /// <summary>
    /// A tensor over the same memory that can be saved for backward and leads to no graph. As torch saves no tensors that were made
    /// in inference mode, those lose the version counter that would tell of later changes.
    /// </summary>
    public static Tensor Savable(Tensor tensor)
    {
        Tensor view = tensor.detach();
        try
        {
            // TorchSharp does not bind is_inference(); this is what it would forbid.
            view.requires_grad = true;
            view.requires_grad = false;
            return view;
        }
        catch (ExternalException)
        {
            return Empty([0], tensor.dtype, tensor.device).set_(view);
        }
    }

    /// <summary><c>[2, 3]</c>.</summary>
    public static string Format(ReadOnlySpan<long> shape)
    {
        var text = new System.Text.StringBuilder("[");
        foreach (long size in shape)
        {
            text.Append(text.Length == 1 ? string.Empty : ", ").Append(size);
        }

        return text.Append(']').ToString();
    }

    /// <summary><c>float32 [2, 3] on cpu</c>.</summary>
    public static string Describe(Tensor tensor) => $"{tensor.dtype} {Format(tensor.shape)} on {tensor.device}";

    /// <summary>
    /// TorchSharp's own library has the address of any tensor; its .NET face gives out those in host memory alone, as spans.
    /// </summary>
    private sealed class DataFunction
    {
        private readonly delegate* unmanaged<nint, void*> _function = (delegate* unmanaged<nint, void*>)NativeLibrary.GetExport(
            NativeLibrary.Load("LibTorchSharp", typeof(Tensor).Assembly, searchPath: null), "THSTensor_data");

        public void* Of(Tensor tensor)
        {
            void* data = _function(tensor.Handle);
            GC.KeepAlive(tensor);
            return data;
        }
    }
}
