using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Labels as the kernels take them: int64, contiguous, one per row of logits. Always a copy, which nobody else can change.</summary>
internal static unsafe class RowLabels
{
    /// <summary>
    /// Copies labels of any strides, int64 or int32. Shifted, position t of the last dimension takes label t+1 and the last
    /// position is ignored.
    /// </summary>
    public static Tensor Create(Tensor labels, bool shift, long ignoreIndex)
    {
        Tensor rows = TensorMemory.Empty(TensorMemory.Shape(labels), ScalarType.Int64, labels.device);
        long count = rows.numel();
        if (!shift && labels.device_type == DeviceType.CPU && labels.dtype == ScalarType.Int64 && labels.is_contiguous())
        {
            long bytes = count * sizeof(long);
            Buffer.MemoryCopy(TensorMemory.Pointer(labels), TensorMemory.Pointer(rows), bytes, bytes);
            return rows;
        }

        if (!shift || count == 0)
        {
            return rows.copy_(labels);
        }

        long length = rows.size(-1);
        using Tensor to = rows.narrow(-1, 0, length - 1);
        using Tensor from = labels.narrow(-1, 1, length - 1);
        using Tensor last = rows.narrow(-1, length - 1, 1);
        to.copy_(from);
        last.fill_(ignoreIndex);
        return rows;
    }

    /// <summary>Checks the values of labels, which are in host memory.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither in <c>[0, V)</c> nor the ignore index.</exception>
    public static void Check(Tensor rows, bool shifted, long vocabulary, long ignoreIndex)
    {
        long* label = (long*)TensorMemory.Pointer(rows);
        long invalid = TokenLabels.FirstOutOfRange(label, rows.numel(), vocabulary, ignoreIndex);
        if (invalid >= 0)
        {
            throw TokenLabels.OutOfRange("labels", Position(rows.shape, invalid, shifted), label[invalid], vocabulary, ignoreIndex);
        }
    }

    /// <summary>The place of a row's label as the caller would index it, for example <c>labels[1, 3]</c>.</summary>
    private static string Position(long[] shape, long row, bool shifted)
    {
        if (shape.Length == 0)
        {
            return "labels";
        }

        long[] index = new long[shape.Length];
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            index[i] = row % shape[i];
            row /= shape[i];
        }

        index[^1] += shifted ? 1 : 0;
        return "labels" + TensorMemory.Format(index);
    }
}
