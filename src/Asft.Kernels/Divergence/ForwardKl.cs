using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Divergence;

/// <summary>KL(ref || policy) = <c>sum q*(lq - lp)</c>, of gradient <c>p - q</c>: what is kept are the reference's exponentials.</summary>
internal readonly unsafe struct ForwardKl : IDivergence
{
    public static bool Reads => true;

    public static bool IsSummed => true;

    public static bool HasCenter => false;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TValue IDivergence.Weighing<TValue>(TValue policy, TValue reference) => reference;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IDivergence.Cross<TV, T, TGradient>(TV e, TV er, TV t, TV tr, T* kept, ref TV cross)
    {
        TV d = TV.KeepWhereGreater(er, SimdMath<TV, T>.C(0), tr - t);
        cross = TV.MultiplyAdd(er, d, cross);
        if (TGradient.On)
        {
            TV.Store(er, kept);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TV IDivergence.Gradient<TV, T>(TV e, T* kept, TV a, TV b) => TV.MultiplyAdd(e, a, TV.Load(kept) * b);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static T IDivergence.Gradient<T>(T e, T er, T difference, T a, T b) => (a * e) + (b * er);

    static double IDivergence.MeanDifference(in RowState state) => state.ReferenceMax - state.Max + (state.Cross / state.ReferenceSum);
}
