using static TorchSharp.torch;

namespace Asft.Bench.Problems;

/// <summary>
/// Logits as a model's are: the result of an operation, which a loss may overwrite, and not a leaf, which it may not. The operation takes
/// nothing of the gradient, as a leaf that kept it would be timed along with the loss: it copies a gradient that lies in the logits' memory.
/// </summary>
internal static class ComputedLogits
{
    /// <summary>A copy of some values that requires grad.</summary>
    public static Tensor Of(Tensor values)
    {
        using Tensor leaf = empty([0, values.size(-1)], values.dtype, values.device).requires_grad_();
        return cat([values, leaf], 0);
    }
}
