using System.Runtime.InteropServices;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>A kernel for tensors in host memory: labels are checked before any work, and the upstream gradient decides what there is to do.</summary>
internal sealed unsafe class HostLossDevice(ITokenLossKernel kernel) : LossDevice
{
    /// <inheritdoc/>
    public override ITokenLossKernel Kernel => kernel;

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">A label or the token count is out of range.</exception>
    public override (TokenScale Scale, TokenCount Count) Count(Tensor labels, LossArguments arguments)
    {
        long counted = RowLabels.Count(labels, arguments.ShiftLabels, arguments.Logits.size(-1), arguments.Objective.IgnoreIndex);
        return (TokenScale.DividedBy(Denominator(arguments.Reduction, arguments.TokenCount, counted)), new TokenCount(counted));
    }

    /// <inheritdoc/>
    public override Tensor Total(Tensor losses, TokenScale scale) =>
        TensorMemory.Scalar(TensorMemory.Sum(losses) / scale.Denominator, losses.dtype, losses.device);

    /// <inheritdoc/>
    public override void Backward(TokenProblem problem, TokenOutputs saved, TokenGradient gradient) =>
        kernel.Backward(problem, saved, gradient);

    /// <inheritdoc/>
    public override void Recompute(TokenProblem problem, TokenGradient gradient) => kernel.Forward(problem, default, gradient);

    /// <inheritdoc/>
    public override bool TryMultiply(LossGraph graph, AutogradContext context, Tensor gradient, Tensor labels, Tensor upstream)
    {
        double factor = TensorMemory.First(upstream);
        if (factor == 1)
        {
            return true;
        }

        if (!graph.OverwritesLogits && !IsExact(factor, gradient.dtype))
        {
            return false;
        }

        gradient.mul_(upstream);
        if (!double.IsFinite(factor))
        {
            ClearIgnored(graph.Objective.IgnoreIndex, labels, gradient);
        }

        return true;
    }

    /// <summary>What a loss is divided by; 1 for other reductions than the mean, and where there is nothing to divide.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The caller's count of tokens is not above 0.</exception>
    public static double Denominator(Reduction reduction, Tensor? tokenCount, long counted)
    {
        if (reduction != Reduction.Mean || counted == 0)
        {
            return 1;
        }

        double denominator = tokenCount is null ? counted : TensorMemory.First(tokenCount);
        return denominator > 0 && double.IsFinite(denominator)
            ? denominator
            : throw LossArguments.TokenCountOutOfRange(denominator);
    }

    /// <summary>
    /// Whether multiplying the rounded gradient by a factor gives what rounding the product once would: always near enough in the
    /// types that arithmetic is done in; in bfloat16, for powers of two.
    /// </summary>
    private static bool IsExact(double factor, ScalarType type) => double.IsFinite(factor)
        && (type != ScalarType.BFloat16 || (BitConverter.DoubleToInt64Bits(factor) & 0xF_FFFF_FFFF_FFFF) == 0);

    /// <summary>Makes ignored rows 0 again.</summary>
    private static void ClearIgnored(long ignoreIndex, Tensor labels, Tensor gradient)
    {
        LogitMatrix rows = LogitRows.Of(gradient).Matrix;
        long* label = (long*)TensorMemory.Pointer(labels);
        nuint bytes = (nuint)(gradient.size(-1) * gradient.element_size());
        for (long row = 0; row < labels.numel(); row++)
        {
            if (label[row] == ignoreIndex)
            {
                NativeMemory.Clear(rows.Row(row), bytes);
            }
        }
    }
}
