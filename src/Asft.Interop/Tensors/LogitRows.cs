using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// A tensor <c>[..., V]</c> seen as rows of V logits. Rows are used in place wherever the last dimension is contiguous; only
/// otherwise is the tensor copied. Temporary tensors belong to the caller's dispose scope, which must outlive the kernel's run.
/// </summary>
internal readonly unsafe struct LogitRows
{
    private LogitRows(Tensor tensor, LogitMatrix matrix, bool isCopy)
    {
        Tensor = tensor;
        Matrix = matrix;
        IsCopy = isCopy;
    }

    /// <summary>The tensor that <see cref="Matrix"/> points into: the one given, or its copy.</summary>
    public Tensor Tensor { get; }

    /// <summary>The rows.</summary>
    public LogitMatrix Matrix { get; }

    /// <summary>True when the tensor had to be copied.</summary>
    public bool IsCopy { get; }

    /// <summary>Finds the rows of a tensor with at least one dimension.</summary>
    public static LogitRows Of(Tensor tensor)
    {
        ElementType type = TensorMemory.TypeOf(tensor)!.Value;
        if (tensor.is_contiguous())
        {
            return new LogitRows(tensor, new LogitMatrix(TensorMemory.Pointer(tensor), type, tensor.size(-1)), isCopy: false);
        }

        long[] shape = TensorMemory.Shape(tensor);
        long[] strides = TensorMemory.Strides(tensor);
        bool copy = strides[^1] != 1 && shape[^1] > 1;
        if (copy)
        {
            tensor = Copy(tensor);
            strides = TensorMemory.Strides(tensor);
        }

        void* data = TensorMemory.Pointer(tensor);
        ReadOnlySpan<long> sizes = shape.AsSpan(0, shape.Length - 1);
        LogitMatrix matrix = TryRowStride(sizes, strides, out long rowStride)
            ? new LogitMatrix(data, type, rowStride)
            : new LogitMatrix(data, type, (long*)TensorMemory.Pointer(Offsets(sizes, strides, tensor.device)));
        return new LogitRows(tensor, matrix, copy);
    }

    /// <summary>The rows of a reference, from a copy of it if a gradient is about to be written over its memory.</summary>
    public static LogitMatrix Beside(Tensor reference, Tensor? overwritten) =>
        Of(overwritten is not null && MayShareMemory(reference, overwritten) ? Copy(reference) : reference).Matrix;

    /// <summary>A contiguous copy.</summary>
    public static Tensor Copy(Tensor tensor) => TensorMemory.Empty(TensorMemory.Shape(tensor), tensor.dtype, tensor.device).copy_(tensor);

    /// <summary>
    /// True unless it is certain that no two elements share memory. Expanded tensors do, and sliding windows; writing a gradient
    /// over such logits would be wrong.
    /// </summary>
    public static bool MayOverlapItself(Tensor tensor)
    {
        (long Size, long Stride)[] dimensions = [.. tensor.shape.Zip(tensor.stride()).Where(d => d.First > 1).OrderBy(d => d.Second)];
        long extent = 1;
        foreach ((long size, long stride) in dimensions)
        {
            if (stride < extent)
            {
                return true;
            }

            extent += (size - 1) * stride;
        }

        return false;
    }

    /// <summary>True when two tensors' elements lie in ranges of memory that meet.</summary>
    private static bool MayShareMemory(Tensor a, Tensor b)
    {
        (nuint startA, nuint endA) = Range(a);
        (nuint startB, nuint endB) = Range(b);
        return startA < endB && startB < endA;
    }

    /// <summary>The stride of rows when one is enough: every leading dimension steps over exactly all of the next one.</summary>
    private static bool TryRowStride(ReadOnlySpan<long> sizes, ReadOnlySpan<long> strides, out long rowStride)
    {
        rowStride = 0;
        long next = -1;
        for (int i = sizes.Length - 1; i >= 0; i--)
        {
            if (sizes[i] == 1)
            {
                continue;
            }

            if (next < 0)
            {
                rowStride = strides[i];
            }
            else if (strides[i] != next)
            {
                return false;
            }

            next = sizes[i] * strides[i];
        }

        return true;
    }

    /// <summary>Each row's offset in elements, for strides that do not fold into one; made where the logits are.</summary>
    private static Tensor Offsets(ReadOnlySpan<long> sizes, ReadOnlySpan<long> strides, Device device)
    {
        Tensor offsets = zeros([], ScalarType.Int64, device);
        for (int i = 0; i < sizes.Length; i++)
        {
            offsets = offsets.unsqueeze(-1) + (arange(sizes[i], ScalarType.Int64, device) * strides[i]);
        }

        return offsets;
    }

    private static (nuint Start, nuint End) Range(Tensor tensor)
    {
        nuint start = (nuint)TensorMemory.Pointer(tensor);
        if (start == 0)
        {
            return (0, 0);
        }

        long extent = 1 + tensor.shape.Zip(tensor.stride(), (size, stride) => (size - 1) * stride).Sum();
        return (start, start + (nuint)(extent * tensor.element_size()));
    }
}
