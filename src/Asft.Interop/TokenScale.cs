using Asft.Kernels;
using static TorchSharp.torch;

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
}
