using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Where a gradient is written.</summary>
internal static class GradientBuffer
{
    /// <summary>Over the logits, over a copy that had to be made of them anyway, or in memory of its own.</summary>
    public static Tensor For(Tensor logits, LogitRows rows, bool overwrites) => rows.IsCopy
        ? rows.Tensor
        : overwrites ? InPlaceWrite.Alias(logits) : Create(logits);

    /// <summary>A dense tensor of the shape and dtype of some logits, not initialized.</summary>
    private static Tensor Create(Tensor logits)
    {
        // A leaf's gradient must have the leaf's own strides where they are dense, or autograd would copy it into ones that do.
        long[] shape = TensorMemory.Shape(logits);
        return !logits.is_contiguous() && logits.stride(-1) == 1 && IsDense(logits)
            ? TensorPool.Empty([logits.numel()], logits.dtype, logits.device).as_strided(shape, TensorMemory.Strides(logits))
            : TensorPool.Empty(shape, logits.dtype, logits.device);
    }

    /// <summary>True when the elements fill a range of memory, each place once, in whatever order of dimensions.</summary>
    private static bool IsDense(Tensor tensor)
    {
        long expected = 1;
        foreach ((long size, long stride) in tensor.shape.Zip(tensor.stride()).Where(d => d.First != 1).OrderBy(d => d.Second))
        {
            if (stride != expected)
            {
                return false;
            }

            expected *= size;
        }

        return true;
    }
}
