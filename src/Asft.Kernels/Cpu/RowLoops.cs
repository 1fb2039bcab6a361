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
        TV a = TElement.Load(x, 0);
        TV b = a;
        int i = TV.Count;
        for (; i <= count - (2 * TV.Count); i += 2 * TV.Count)
        {
            a = TV.Max(TElement.Load(x, i), a);
            b = TV.Max(TElement.Load(x, i + TV.Count), b);
        }

        for (; i < count; i += TV.Count)
        {
            a = TV.Max(TElement.Load(x, i), a);
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
    public static void Exponentials<TPolicyElement, TReferenceElement, TReference, TGradient, TSmoothing, TSoftcap>(
        void* x, void* r, T* p, T* q, T* extra, int count, T max, T referenceMax, Prefetch ahead, out BlockSums<T> sums)
        where TPolicyElement : struct, IElement<TV>
        where TReferenceElement : struct, IElement<TV>
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
        for (int i = 0; i < count; i += TV.Count)
        {
            TV z = TPolicyElement.Load(x, i);
            TV t = TV.MultiplyAdd(z, log2E, minusMax);
            TV e, tr, er;
            if (TReference.Reads)
            {
                tr = TV.MultiplyAdd(TReferenceElement.Load(r, i), log2E, minusReferenceMax);
                (e, er) = SimdMath<TV, T>.Exp2(t, tr);
            }
            else
            {
                e = SimdMath<TV, T>.Exp2(t);
                tr = er = default;
            }

            sum += e;
            ahead.Policy(i);

            if (TSmoothing.On)
            {
                TV lowest = SimdMath<TV, T>.C(typeof(T) == typeof(float) ? float.MinValue : double.MinValue);
                TV mask = TV.ZeroWhereLess(z, lowest, SimdMath<TV, T>.C(1));
                logits += TV.ZeroWhereLess(z, lowest, z);
                unmasked += mask;

                // A softcap leaves no logit at -inf, and keeps its slopes in the same place.
                if (TGradient.On && !TSoftcap.On)
                {
                    TV.Store(mask, extra + i);
                }
            }

            if (TReference.Reads)
            {
                referenceSum += er;
                ahead.Reference(i);

                // Where the weighting probability is 0 the term is 0, whatever the logits (both -inf in a masked vocabulary).
                if (TReference.Forward)
                {
                    TV d = TV.KeepWhereGreater(er, zero, tr - t);
                    cross = TV.MultiplyAdd(er, d, cross);
                    if (TGradient.On)
                    {
                        TV.Store(er, q + i);
                    }
                }

                if (TReference.Reverse)
                {
                    TV d = TV.KeepWhereGreater(e, zero, t - tr);
                    cross = TV.MultiplyAdd(e, d, cross);
                    if (TGradient.On)
                    {
                        TV.Store(d, q + i);
                    }
                }
            }

            if (TGradient.On)
            {
                TV.Store(e, p + i);
            }
        }

        sums.Policy = TV.Sum(sum);
        sums.Reference = TV.Sum(referenceSum);
        sums.Cross = TV.Sum(cross);
        sums.Logits = TV.Sum(logits);
        sums.Unmasked = TV.Sum(unmasked);
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
        for (int i = 0; i < count; i += TV.Count)
        {
            TV e = TV.Load(p + i);
            TV g;
            if (TReference.Forward)
            {
                g = TV.MultiplyAdd(e, va, TV.Load(q + i) * vb);
            }
            else if (TReference.Reverse)
            {
                g = e * TV.MultiplyAdd(TV.Load(q + i), vb, va);
            }
            else
            {
                g = e * va;
            }

            if (TSmoothing.On)
            {
                g -= TSoftcap.On ? vs : TV.Load(extra + i) * vs;
            }

            if (TSoftcap.On)
            {
                g *= TV.Load(extra + i);
            }

            TElement.Store(g, destination, i);
        }
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
