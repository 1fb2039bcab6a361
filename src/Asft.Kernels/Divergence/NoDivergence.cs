using System.Runtime.CompilerServices;

namespace Asft.Kernels.Divergence;

/// <summary>The reference is not read.</summary>
internal readonly unsafe struct NoReference : IDivergence
{
    public static bool Reads => false;

    public static bool IsSummed => false;

    public static bool HasCenter => false;

    static TValue IDivergence.Weighing<TValue>(TValue policy, TValue reference) => policy;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IDivergence.Cross<TV, T, TGradient>(TV e, TV er, TV t, TV tr, T* kept, ref TV cross)
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TV IDivergence.Gradient<TV, T>(TV e, T* kept, TV a, TV b) => e * a;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static T IDivergence.Gradient<T>(T e, T er, T difference, T a, T b) => a * e;

    static double IDivergence.MeanDifference(in RowState state) => double.NaN;
}

/// <summary>The reference is read for its log-sum-exp, which importance ratios need, and has no part in the gradient.</summary>
internal readonly unsafe struct ReferenceSum : IDivergence
{
    public static bool Reads => true;

    public static bool IsSummed => false;

    public static bool HasCenter => false;

    static TValue IDivergence.Weighing<TValue>(TValue policy, TValue reference) => policy;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IDivergence.Cross<TV, T, TGradient>(TV e, TV er, TV t, TV tr, T* kept, ref TV cross)
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static TV IDivergence.Gradient<TV, T>(TV e, T* kept, TV a, TV b) => e * a;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static T IDivergence.Gradient<T>(T e, T er, T difference, T a, T b) => a * e;

    static double IDivergence.MeanDifference(in RowState state) => double.NaN;
}
