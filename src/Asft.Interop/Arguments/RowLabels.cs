using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Labels as the kernels take them: int64, contiguous, one per row of logits, where the labels are. Always a copy, which nobody else can change.
/// </summary>
internal sealed unsafe class RowLabels : IDisposable
{
    private readonly HostMemory? _memory;
    private readonly Tensor? _tensor;

    private RowLabels(Tensor labels, HostMemory? memory, Tensor? tensor)
    {
        Shape = TensorMemory.Shape(labels);
        Count = labels.numel();
        _memory = memory;
        _tensor = tensor?.DetachFromDisposeScope();
    }

    /// <summary>Shape of the labels.</summary>
    public long[] Shape { get; }

    /// <summary>How many there are.</summary>
    public long Count { get; }

    /// <summary>The first of them.</summary>
    public long* Pointer => (long*)(_memory is null ? TensorMemory.PointerOrNull(_tensor) : _memory.Pointer);

    /// <summary>
    /// Copies labels of any strides, int64 or int32. Shifted, position t of the last dimension takes label t+1 and the last
    /// position is ignored.
    /// </summary>
    public static RowLabels Of(Tensor labels, bool shift, long ignoreIndex) => labels.device_type == DeviceType.CPU
        ? OnHost(labels, shift, ignoreIndex)
        : new RowLabels(labels, null, Copy(labels, shift, ignoreIndex));

    /// <summary>Checks the values of labels, which are in host memory.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither in <c>[0, V)</c> nor the ignore index.</exception>
    public void Check(bool shifted, long vocabulary, long ignoreIndex)
    {
        long invalid = TokenLabels.FirstOutOfRange(Pointer, Count, vocabulary, ignoreIndex);
        if (invalid >= 0)
        {
            throw TokenLabels.OutOfRange("labels", Position("labels", invalid, shifted), Pointer[invalid], vocabulary, ignoreIndex);
        }
    }

    /// <summary>The place of a token as the caller would index it, for example <c>labels[1, 3]</c>.</summary>
    /// <param name="name">What is indexed like the labels.</param>
    /// <param name="row">Which token.</param>
    /// <param name="shifted">Whether the labels were shifted.</param>
    public string Position(string name, long row, bool shifted)
    {
        if (Shape.Length == 0)
        {
            return name;
        }

        long[] index = new long[Shape.Length];
        for (int i = Shape.Length - 1; i >= 0; i--)
        {
            index[i] = row % Shape[i];
            row /= Shape[i];
        }

        index[^1] += shifted ? 1 : 0;
        return name + TensorMemory.Format(index);
    }

    /// <summary>The labels as a tensor of their shape, in the current dispose scope.</summary>
    public Tensor ToTensor()
    {
        if (_tensor is not null)
        {
            return _tensor.alias();
        }

        Tensor tensor = TensorMemory.Empty(Shape, ScalarType.Int64, CPU);
        long bytes = Count * sizeof(long);
        Buffer.MemoryCopy(Pointer, TensorMemory.Pointer(tensor), bytes, bytes);
        return tensor;
    }

    /// <summary>Frees the copy.</summary>
    public void Dispose()
    {
        _memory?.Dispose();
        _tensor?.Dispose();
    }

    private static RowLabels OnHost(Tensor labels, bool shift, long ignoreIndex)
    {
        bool isPlain = labels.dtype == ScalarType.Int64 && labels.is_contiguous();
        using Tensor? converted = isPlain ? null : TensorMemory.Empty(TensorMemory.Shape(labels), ScalarType.Int64, CPU).copy_(labels);
        long* from = (long*)TensorMemory.Pointer(converted ?? labels);
        long count = labels.numel();
        var memory = new HostMemory(count * sizeof(long));
        if (count > 0)
        {
            long* rows = (long*)memory.Pointer;
            long skipped = shift ? 1 : 0;
            Buffer.MemoryCopy(from + skipped, rows, count * sizeof(long), (count - skipped) * sizeof(long));
            if (shift)
            {
                long length = labels.size(-1);
                for (long last = length - 1; last < count; last += length)
                {
                    rows[last] = ignoreIndex;
                }
            }
        }

        return new RowLabels(labels, memory, null);
    }

    private static Tensor Copy(Tensor labels, bool shift, long ignoreIndex)
    {
        Tensor rows = TensorMemory.Empty(TensorMemory.Shape(labels), ScalarType.Int64, labels.device);
        if (!shift || rows.numel() == 0)
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
}
