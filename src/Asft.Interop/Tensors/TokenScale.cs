using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop;

/// <summary>
/// What makes a sum over tokens the wanted reduction: a division by a number that the host knows, or a factor that is on the device.
/// Temporary tensors belong to the caller's dispose scope, which must outlive the kernel's run.
/// </summary>
internal readonly unsafe struct TokenScale
{
    private TokenScale(double denominator, Tensor? factor)
    {
        Denominator = denominator;
        Factor = factor;
    }

    /// <summary>What the sum is divided by; 1 where there is a <see cref="Factor"/>.</summary>
    public double Denominator { get; }

    /// <summary>One element of the loss's dtype that the sum is multiplied by; null for 1.</summary>
    public Tensor? Factor { get; }

    /// <summary>Division by a number.</summary>
    public static TokenScale DividedBy(double denominator) => new(denominator, null);

    /// <summary>Multiplication by a factor on the device.</summary>
    public static TokenScale Times(Tensor factor) => new(1, factor);

    /// <summary>The scale of a reduction over a known number of tokens.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The caller's count of tokens is not above 0, and there are tokens that count.</exception>
    public static TokenScale Of(Reduction reduction, Tensor? tokenCount, long counted)
    {
        if (reduction != Reduction.Mean || counted == 0)
        {
            return DividedBy(1);
        }

        double denominator = tokenCount is null ? counted : TensorMemory.First(tokenCount);
        return denominator > 0 && double.IsFinite(denominator)
            ? DividedBy(denominator)
            : throw TokenArguments.TokenCountOutOfRange(denominator);
    }

    /// <summary>Counts the tokens and finds what makes a sum over them the reduction that is asked for. Checks values if the host can read them.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="inputs">The labels and what else there is of each token.</param>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <exception cref="ArgumentException">What the host knows already is wrong: a label, the token count, or what was kept of a reference.</exception>
    public static (TokenScale Scale, TokenCount Count) Count(ITokenLossKernel kernel, TokenInputs inputs, LossArguments arguments)
    {
        TokenArguments tokens = arguments.Tokens;
        RowLabels labels = inputs.Labels;
        long ignored = tokens.Objective.IgnoreIndex;
        if (!kernel.IsAsynchronous)
        {
            inputs.Check(tokens, arguments.Vocabulary);
            long known;
            kernel.Count(new TokenCounting { Labels = labels.Pointer, Rows = labels.Count, IgnoreIndex = ignored, Counted = &known });
            return (Of(tokens.Reduction, tokens.TokenCount, known), new TokenCount(known));
        }

        Device device = tokens.Labels.device;
        bool isMean = tokens.Reduction == Reduction.Mean;
        Tensor? denominator = isMean && tokens.TokenCount is not null ? OnDevice(tokens.TokenCount, device) : null;
        Tensor counted = TensorMemory.Empty([], ScalarType.Int64, device);
        Tensor factor = TensorMemory.Empty([], arguments.Accumulator, device);
        kernel.Count(new TokenCounting
        {
            Labels = labels.Pointer,
            Rows = labels.Count,
            IgnoreIndex = ignored,
            IsMean = isMean,
            Denominator = denominator is null ? null : (double*)TensorMemory.Pointer(denominator),
            Type = TensorMemory.TypeOf(factor)!.Value,
            Counted = (long*)TensorMemory.Pointer(counted),
            Factor = TensorMemory.Pointer(factor),
        });
        return (isMean ? Times(factor) : DividedBy(1), new TokenCount(counted, kernel));
    }

    /// <summary>The scaled sum of token losses, in an order that does not depend on threads, as a tensor without dimensions.</summary>
    public Tensor Total(ITokenLossKernel kernel, Tensor losses) =>
        Total(kernel, TensorMemory.Pointer(losses), losses.numel(), losses.dtype, losses.device);

    /// <summary>The same of losses somewhere in memory.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="losses">The first.</param>
    /// <param name="count">How many.</param>
    /// <param name="dtype">Their dtype, and the sum's.</param>
    /// <param name="device">Where they are.</param>
    public Tensor Total(ITokenLossKernel kernel, void* losses, long count, ScalarType dtype, Device device)
    {
        ElementType type = dtype == ScalarType.Float64 ? ElementType.Float64 : ElementType.Float32;
        if (!kernel.IsAsynchronous)
        {
            double sum;
            kernel.Total(losses, count, type, null, &sum);
            return TensorMemory.Scalar(sum / Denominator, dtype, device);
        }

        Tensor total = TensorMemory.Empty([], dtype, device);
        kernel.Total(losses, count, type, Factor is null ? null : TensorMemory.Pointer(Factor), TensorMemory.Pointer(total));
        return Denominator == 1 ? total : total.div_(Denominator);
    }

    /// <summary>A kernel's view of the gradient that is wanted.</summary>
    /// <param name="rows">Where it goes.</param>
    /// <param name="upstream">The upstream gradient, one element or one for each row; null for 1.</param>
    public TokenGradient Gradient(LogitMatrix rows, Tensor? upstream = null)
    {
        Tensor? factor = upstream is null ? Factor : Factor is null ? upstream.contiguous() : upstream.mul(Factor).contiguous();
        return new TokenGradient
        {
            Logits = rows,
            Scale = 1 / Denominator,
            Upstream = factor is null ? null : TensorMemory.Pointer(factor),
            UpstreamStride = factor is null || factor.dim() == 0 ? 0 : 1,
        };
    }

    /// <summary>The same in torch operations, with their graph.</summary>
    public Tensor Apply(Tensor tensor) => Factor is null ? tensor * (1 / Denominator) : tensor * Factor;

    /// <summary>The caller's count of tokens in float64 on the device.</summary>
    private static Tensor OnDevice(Tensor tokenCount, Device device)
    {
        if (tokenCount.device_type != DeviceType.CPU || device.type == DeviceType.CPU)
        {
            return tokenCount.to(ScalarType.Float64, device);
        }

        // 0 may be meant, if no token counts, which is not known here.
        double count = TensorMemory.First(tokenCount);
        return count >= 0 && double.IsFinite(count)
            ? TensorMemory.Scalar(count, ScalarType.Float64, device)
            : throw TokenArguments.TokenCountOutOfRange(count);
    }
}
