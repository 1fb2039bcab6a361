using System.Numerics;
using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Divergence;

/// <summary>
/// A <see cref="ReferenceUse"/> with its arithmetic: for SIMD registers, for the device code of ILGPU and for states in double. As type
/// arguments they are constants to the compiler, so what an objective does not use costs nothing.
/// </summary>
/// <remarks>
/// The cross term of a divergence is <c>sum weight*(own - other)</c>: of the model whose probabilities weigh it, the exponential and the
/// logit's distance from the point that it is measured from, and the other model's distance. <see cref="Weighing"/> tells which is which:
/// <c>own = Weighing(policy, reference)</c>, <c>other = Weighing(reference, policy)</c>. What stands here is for a loss without divergence.
/// </remarks>
internal unsafe interface IDivergence
{
    /// <summary>The reference row is read, for its log-sum-exp at least.</summary>
    static abstract bool Reads { get; }

    /// <summary>A cross term is summed.</summary>
    static abstract bool IsSummed { get; }

    /// <summary>
    /// The gradient is made of differences, and the reference has a point of its own for them, about where the policy has its mass, so that
    /// those that weigh most are small and keep their digits.
    /// </summary>
    static abstract bool HasCenter { get; }

    /// <summary>Of two values, that of the model whose probabilities weigh the divergence.</summary>
    /// <param name="policy">The policy's.</param>
    /// <param name="reference">The reference's.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TValue Weighing<TValue>(TValue policy, TValue reference) => policy;

    /// <summary>
    /// Adds a register of logits to the cross term and, for a gradient, keeps what it is made of. Where the weight is 0 the term is 0, whatever
    /// the logits (both are -inf in a masked vocabulary).
    /// </summary>
    /// <param name="e">The policy's exponentials.</param>
    /// <param name="er">The reference's.</param>
    /// <param name="t">Their arguments.</param>
    /// <param name="tr">The reference's, measured from the center where there is one.</param>
    /// <param name="kept">Where to keep.</param>
    /// <param name="cross">The cross term.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual void Cross<TV, T, TGradient>(TV e, TV er, TV t, TV tr, T* kept, ref TV cross)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged
        where TGradient : struct, ISwitch
    {
    }

    /// <summary>The gradient of a register of logits, short of label smoothing.</summary>
    /// <param name="e">The policy's exponentials.</param>
    /// <param name="kept">What <see cref="Cross"/> kept.</param>
    /// <param name="a">The policy's coefficient.</param>
    /// <param name="b">The reference's.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual TV Gradient<TV, T>(TV e, T* kept, TV a, TV b)
        where TV : struct, ISimd<TV, T>
        where T : unmanaged => e * a;

    /// <summary>The gradient of a logit, short of label smoothing.</summary>
    /// <param name="e">The policy's exponential.</param>
    /// <param name="er">The reference's.</param>
    /// <param name="difference">The policy's distance less the reference's.</param>
    /// <param name="a">The policy's coefficient.</param>
    /// <param name="b">The reference's.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static virtual T Gradient<T>(T e, T er, T difference, T a, T b)
        where T : struct, INumber<T> => a * e;

    /// <summary>The mean of yr - y, by the probabilities that weigh the divergence.</summary>
    static virtual double MeanDifference(in RowState state) => double.NaN;
}
