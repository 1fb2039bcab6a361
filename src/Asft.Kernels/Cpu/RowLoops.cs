using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Cpu;

/// <summary>
/// Sums over one block of a row, measured from the maxima that the exponentials were taken from; <see cref="Cross"/> is in base 2.
/// </summary>
internal struct BlockSums<T>
{
    public T Policy;
    public T Reference;
    public T Cross;
    public T Logits;
    public T Unmasked;
}

/// <summary>
/// The inner loops, over one block of a row: a few thousand logits that lie in the first-level cache. Block lengths are multiples of
/// the register length; the caller pads the last block of a row with -inf, which contributes nothing to any sum.
/// </summary>
internal static unsafe class RowLoops<TV, T>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    /// <summary>Largest element; NaN is passed over (the exponentials will meet it).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static T Max<TElement>(void* x, int count)
        where TElement : struct, IElement<TV>
    {
        (TV a, TV b) = TElement.Load(x, 0);
        for (int i = 2 * TV.Count; i < count; i += 2 * TV.Count)
        {
            (TV nextA, TV nextB) = TElement.Load(x, i);
            a = TV.Max(nextA, a);
            b = TV.Max(nextB, b);
        }

        return TV.MaxLane(TV.Max(a, b));
    }

    /// <summary>
    /// One exponential per logit: <c>2^(z*log2 e - max)</c>, summed and, for a gradient, kept in <paramref name="p"/>; for the reference
    /// likewise. <paramref name="q"/> keeps what the gradient of the KL divergence needs: the reference's exponentials (Forward) or
    /// <c>d = (z*log2 e - max) - (zr*log2 e - referenceMax)</c> (Reverse). So the gradient takes no exponential of its own.
    /// With smoothing, <paramref name="extra"/> keeps 1 or, where the logit is -inf, 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Exponentials<TElement, TReference, TGradient, TSmoothing, TSoftcap>(
        void* x, void* r, T* p, T* q, T* extra, int count, T max, T referenceMax, Prefetch ahead, out BlockSums<T> sums)
        where TElement : struct, IElement<TV>
        where TReference : struct, IReferenceUse
        where TGradient : struct, ISwitch
        where TSmoothing : struct, ISwitch
        where TSoftcap : struct, ISwitch
    {
        TV zero = SimdMath<TV, T>.C(0);
        TV log2E = SimdMath<TV, T>.C(1.4426950408889634);
        TV minusMax = zero - TV.Create(max);
        TV minusReferenceMax = zero - TV.Create(referenceMax);
        TV sum = zero, referenceSum = zero, cross = zero, logits = zero, unmasked = zero;
        for (int i = 0; i < count; i += 2 * TV.Count)
        {
            (TV zA, TV zB) = TElement.Load(x, i);
            TV tA = TV.MultiplyAdd(zA, log2E, minusMax);
            TV tB = TV.MultiplyAdd(zB, log2E, minusMax);
            TV eA, eB;
            ahead.Policy(i);
            if (TElement.Size * 2 * TV.Count > Prefetch.Line)
            {
                ahead.Policy(i + TV.Count);
            }

            if (TReference.Reads)
            {
                (TV zrA, TV zrB) = TElement.Load(r, i);
                TV trA = TV.MultiplyAdd(zrA, log2E, minusReferenceMax);
                TV trB = TV.MultiplyAdd(zrB, log2E, minusReferenceMax);
                ahead.Reference(i);
                if (TElement.Size * 2 * TV.Count > Prefetch.Line)
                {
                    ahead.Reference(i + TV.Count);
                }

                (eA, TV erA) = SimdMath<TV, T>.Exp2(tA, trA);
                Cross<TReference, TGradient>(eA, erA, tA, trA, q + i, ref cross);
                (eB, TV erB) = SimdMath<TV, T>.Exp2(tB, trB);
                Cross<TReference, TGradient>(eB, erB, tB, trB, q + i + TV.Count, ref cross);
                referenceSum += erA;
                referenceSum += erB;
            }
            else
            {
                (eA, eB) = SimdMath<TV, T>.Exp2(tA, tB);
            }

            sum += eA;
            sum += eB;
            if (TSmoothing.On)
            {
                TV lowest = SimdMath<TV, T>.C(typeof(T) == typeof(float) ? float.MinValue : double.MinValue);
                TV maskA = TV.ZeroWhereLess(zA, lowest, SimdMath<TV, T>.C(1));
                TV maskB = TV.ZeroWhereLess(zB, lowest, SimdMath<TV, T>.C(1));
                logits += TV.ZeroWhereLess(zA, lowest, zA);
                logits += TV.ZeroWhereLess(zB, lowest, zB);
                unmasked += maskA + maskB;

                // A softcap leaves no logit at -inf, and keeps its slopes in the same place.
                if (TGradient.On && !TSoftcap.On)
                {
                    TV.Store(maskA, extra + i);
                    TV.Store(maskB, extra + i + TV.Count);
                }
            }

            if (TGradient.On)
            {
                TV.Store(eA, p + i);
                TV.Store(eB, p + i + TV.Count);
            }
        }

        sums = default;
        sums.Policy = TV.Sum(sum);
        if (TReference.Reads)
        {
            sums.Reference = TV.Sum(referenceSum);
            sums.Cross = TV.Sum(cross);
        }

        if (TSmoothing.On)
        {
            sums.Logits = TV.Sum(logits);
            sums.Unmasked = TV.Sum(unmasked);
        }
    }

    /// <summary>
    /// Adds to the cross term of the KL divergence. Where the weighting probability is 0 the term is 0, whatever the logits (both are
    /// -inf in a masked vocabulary).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Cross<TReference, TGradient>(TV e, TV er, TV t, TV tr, T* q, ref TV cross)
        where TReference : struct, IReferenceUse
        where TGradient : struct, ISwitch
    {
        if (TReference.Forward)
        {
            TV d = TV.KeepWhereGreater(er, SimdMath<TV, T>.C(0), tr - t);
            cross = TV.MultiplyAdd(er, d, cross);
            if (TGradient.On)
            {
                TV.Store(er, q);
            }
        }
        else if (TReference.Reverse)
        {
            TV d = TV.KeepWhereGreater(e, SimdMath<TV, T>.C(0), t - tr);
            cross = TV.MultiplyAdd(e, d, cross);
            if (TGradient.On)
            {
                TV.Store(d, q);
            }
        }
    }

    /// <summary>
    /// The gradient of a block from what <see cref="Exponentials"/> kept: <c>a*p + b*q - smoothing</c> (Forward; b is negative) or
    /// <c>p*(a + b*d) - smoothing</c> (Reverse), times the slope of a softcap.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gradient<TElement, TReference, TSmoothing, TSoftcap>(
        T* p, T* q, T* extra, void* destination, int count, T a, T b, T smoothing)
        where TElement : struct, IElement<TV>
        where TReference : struct, IReferenceUse
        where TSmoothing : struct, ISwitch
        where TSoftcap : struct, ISwitch
    {
        TV va = TV.Create(a);
        TV vb = TV.Create(b);
        TV vs = TV.Create(smoothing);
        for (int i = 0; i < count; i += 2 * TV.Count)
        {
            TElement.Store(
                Gradient<TReference, TSmoothing, TSoftcap>(p + i, q + i, extra + i, va, vb, vs),
                Gradient<TReference, TSmoothing, TSoftcap>(p + i + TV.Count, q + i + TV.Count, extra + i + TV.Count, va, vb, vs),
                destination,
                i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TV Gradient<TReference, TSmoothing, TSoftcap>(T* p, T* q, T* extra, TV a, TV b, TV smoothing)
        where TReference : struct, IReferenceUse
        where TSmoothing : struct, ISwitch
        where TSoftcap : struct, ISwitch
    {
        TV e = TV.Load(p);
        TV g = TReference.Forward ? TV.MultiplyAdd(e, a, TV.Load(q) * b)
            : TReference.Reverse ? e * TV.MultiplyAdd(TV.Load(q), b, a)
            : e * a;
        if (TSmoothing.On)
        {
            g -= TSoftcap.On ? smoothing : TV.Load(extra) * smoothing;
        }

        return TSoftcap.On ? g * TV.Load(extra) : g;
    }

    /// <summary>z = c*tanh(s*x/c) and, unless <paramref name="slope"/> is null, dz/dx.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softcap(T* x, T* z, T* slope, int count, T scaleOverCap, T cap, T scale)
    {
        TV k = TV.Create(scaleOverCap);
        TV c = TV.Create(cap);
        TV s = TV.Create(scale);
        for (int i = 0; i < count; i += TV.Count)
        {
            TV tanh = SimdMath<TV, T>.Tanh(TV.Load(x + i) * k);
            TV.Store(tanh * c, z + i);
            if (slope != null)
            {
                // s*(1 - tanh²), from the factors, so that it does not cancel near the cap.
                TV one = SimdMath<TV, T>.C(1);
                TV.Store(s * ((one - tanh) * (one + tanh)), slope + i);
            }
        }
    }

    /// <summary>z = s*x.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scale(T* x, T* z, int count, T scale)
    {
        TV s = TV.Create(scale);
        for (int i = 0; i < count; i += TV.Count)
        {
            TV.Store(TV.Load(x + i) * s, z + i);
        }
    }
}
