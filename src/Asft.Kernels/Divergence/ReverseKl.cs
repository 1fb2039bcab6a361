using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Divergence;

/// <summary>KL(policy || ref) = <c>sum p*(lp - lq)</c>, of gradient <c>p*(lp - lq - kl)</c>: what is kept are the differences.</summary>
internal readonly unsafe struct ReverseKl : IDivergence
{
    public static bool Reads => true;

    public static bool IsSummed => true;

    public static bool HasCenter => true;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IDivergence.Cross<TV, T, TGradient>(TV e, TV er, TV t, TV tr, T* kept, ref TV cross)
    {
        TV d = TV.KeepWhereGreater(e, SimdMath<TV, T>.C(0), t - tr);
        cross = TV.MultiplyAdd(e, d, cross);
        if (TGradient.On)
        {
            TV.Store(d, kept);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TV IDivergence.Gradient<TV, T>(TV e, T* kept, TV a, TV b) => e * TV.MultiplyAdd(TV.Load(kept), b, a);

    /// <summary>Where the exponential is 0, the gradient is, be the difference infinite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static T IDivergence.Gradient<T>(T e, T er, T difference, T a, T b) => e == T.Zero ? a * e : e * (a + (b * difference));

    static double IDivergence.MeanDifference(in RowState state) => state.Center - state.Max - (state.Cross / state.Sum);
}
