using System.Runtime.InteropServices;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// From a tensor to what a kernel takes, and back.
/// </summary>
internal static unsafe class TensorMemory
{
    /// <summary>The kernel's name for a dtype; null for one that logits cannot have.</summary>
    public static ElementType? TypeOf(Tensor tensor) => tensor.dtype switch
    {
        ScalarType.Float32 => ElementType.Float32,
        ScalarType.Float64 => ElementType.Float64,
        ScalarType.Float16 => ElementType.Float16,
        ScalarType.BFloat16 => ElementType.BFloat16,
        _ => null,
    };

    /// <summary>The dtype of what is computed from logits: float32, or float64 for float64.</summary>
    public static ScalarType Accumulator(Tensor logits) => logits.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;

    /// <summary>Address of a tensor's first element on its device, whatever its dtype and strides; null when it has no elements.</summary>
    public static void* Pointer(Tensor tensor)
    {
        if (tensor.numel() == 0)
        {
            return null;
        }

        void* data = LibTorchSharp.Data(tensor.Handle);
        GC.KeepAlive(tensor);
        return data;
    }

    /// <summary>Address of an element of a contiguous tensor, and null for no tensor.</summary>
    public static void* PointerOrNull(Tensor? tensor, long element = 0) =>
        tensor is null ? null : (byte*)Pointer(tensor) + (element * tensor.element_size());

    /// <summary>A tensor's sizes: what <c>tensor.shape</c> says, in a tenth of the time.</summary>
    public static long[] Shape(Tensor tensor)
    {
        long[] shape = new long[tensor.dim()];
        for (int i = 0; i < shape.Length; i++)
        {
            shape[i] = tensor.size(i);
        }

        return shape;
    }

    /// <summary>A tensor's strides, likewise.</summary>
    public static long[] Strides(Tensor tensor)
    {
        long[] strides = new long[tensor.dim()];
        for (int i = 0; i < strides.Length; i++)
        {
            strides[i] = tensor.stride(i);
        }

        return strides;
    }

    /// <summary>Whether the first dimensions of two tensors, a given number of them, are the same.</summary>
    public static bool HaveSameSizes(Tensor a, Tensor b, long dimensions)
    {
        for (int i = 0; i < dimensions; i++)
        {
            if (a.size(i) != b.size(i))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>A new tensor, not initialized.</summary>
    public static Tensor Empty(long[] shape, ScalarType dtype, Device device) => torch.empty(shape, dtype, device);

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

        using DisposeScope scope = NewDisposeScope();
        return *(double*)Pointer(DeviceServices.Current.ToHost(tensor)[0].to(ScalarType.Float64));
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
}
