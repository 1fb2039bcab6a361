using System.Runtime.CompilerServices;
using Asft.Kernels.Cpu.Simd;
using Asft.Kernels.Divergence;

namespace Asft.Kernels.Cpu;

/// <summary>
/// The inner loops, over one block of a row: a few thousand logits that lie in the first-level cache. Block lengths are multiples of
/// the register length; the caller pads the last block of a row with -inf, which contributes nothing to any sum.
/// </summary>
internal static unsafe class BlockLoops<TV, T>
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

    /// <summary>Smallest and largest element; NaN is passed over.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static (T Lowest, T Largest) Range<TElement>(void* x, int count)
        where TElement : struct, IElement<TV>
    {
        (TV a, TV b) = TElement.Load(x, 0);
        TV lowest = TV.Min(a, b);
        for (int i = 2 * TV.Count; i < count; i += 2 * TV.Count)
        {
            (TV nextA, TV nextB) = TElement.Load(x, i);
            lowest = TV.Min(TV.Min(nextA, nextB), lowest);
            a = TV.Max(nextA, a);
            b = TV.Max(nextB, b);
        }

        return (TV.MinLane(lowest), TV.MaxLane(TV.Max(a, b)));
    }

    /// <summary>
    /// One exponential per logit, summed and, for a gradient, kept in <paramref name="p"/>; for the reference likewise.
    /// <paramref name="q"/> keeps what the gradient of the divergence needs, which takes no exponential of its own then.
    /// With an entropy, its sums. With smoothing, <paramref name="extra"/> keeps 1 or, where the logit is -inf, 0.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Exponentials<TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy, TFar>(
        void* x, void* r, T* p, T* q, T* extra, int count, in BlockPoints<T> points, Prefetch ahead, out BlockSums<T> sums)
        where TElement : struct, IElement<TV>
        where TDivergence : struct, IDivergence
        where TGradient : struct, ISwitch
        where TSmoothing : struct, ISwitch
        where TSoftcap : struct, ISwitch
        where TEntropy : struct, IEntropy
        where TFar : struct, ISwitch
    {
        TV zero = SimdMath<TV, T>.C(0);
        TV m = TV.Create(points.Multiplier);
        TV point = TV.Create(points.Policy);
        TV referencePoint = TV.Create(points.Reference);
        TV center = TV.Create(points.Center);
        TV sum = zero, referenceSum = zero, cross = zero, distance = zero, unmasked = zero, entropy = zero, squares = zero;
        for (int i = 0; i < count; i += 2 * TV.Count)
        {
            (TV yA, TV yB) = TElement.Load(x, i);
            TV tA = Argument<TFar>(yA, m, point);
            TV tB = Argument<TFar>(yB, m, point);
            TV yrA = zero, yrB = zero, trA = zero, trB = zero;
            ahead.Policy(i);
            if (TElement.Size * 2 * TV.Count > Prefetch.Line)
            {
                ahead.Policy(i + TV.Count);
            }

            if (TDivergence.Reads)
            {
                (yrA, yrB) = TElement.Load(r, i);
                trA = Argument<TFar>(yrA, m, referencePoint);
                trB = Argument<TFar>(yrB, m, referencePoint);
                ahead.Reference(i);
                if (TElement.Size * 2 * TV.Count > Prefetch.Line)
                {
                    ahead.Reference(i + TV.Count);
                }
            }

            // The exponential stands here twice, not once for each case: .NET 8 gives up inlining where it stands more often.
            (TV eA, TV eB) = Exp2<TDivergence, TEntropy>(tA, TDivergence.Reads ? trA : tB);
            if (TDivergence.Reads)
            {
                TV erA = eB;
                TDivergence.Cross<TV, T, TGradient>(eA, erA, tA, TDivergence.HasCenter && TFar.On ? Argument<TFar>(yrA, m, center) : trA, q + i, ref cross);
                (eB, TV erB) = Exp2<TDivergence, TEntropy>(tB, trB);
                TDivergence.Cross<TV, T, TGradient>(eB, erB, tB, TDivergence.HasCenter && TFar.On ? Argument<TFar>(yrB, m, center) : trB, q + i + TV.Count, ref cross);
                referenceSum += erA + erB;
            }

            sum += eA + eB;
            // Asked so, a type is known before inlining begins, of which .NET 8 allows little: what is not done costs none of it.
            if (typeof(TEntropy) != typeof(NoEntropy))
            {
                AddEntropy<TEntropy>(eA, tA, ref entropy, ref squares);
                AddEntropy<TEntropy>(eB, tB, ref entropy, ref squares);
            }

            if (typeof(TSmoothing) == typeof(On))
            {
                TV lowest = SimdMath<TV, T>.C(typeof(T) == typeof(float) ? float.MinValue : double.MinValue);
                TV maskA = TV.ZeroWhereLess(yA, lowest, SimdMath<TV, T>.C(1));
                TV maskB = TV.ZeroWhereLess(yB, lowest, SimdMath<TV, T>.C(1));
                distance += TV.ZeroWhereLess(yA, lowest, tA) + TV.ZeroWhereLess(yB, lowest, tB);
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
        if (TDivergence.Reads)
        {
            sums.Reference = TV.Sum(referenceSum);
            sums.Cross = TV.Sum(cross);
        }

        if (typeof(TEntropy) != typeof(NoEntropy))
        {
            sums.Entropy = TV.Sum(entropy);
            sums.Squares = TEntropy.HasSquares ? TV.Sum(squares) : default;
        }

        if (typeof(TSmoothing) == typeof(On))
        {
            sums.Distance = TV.Sum(distance);
            sums.Unmasked = TV.Sum(unmasked);
        }
    }

    /// <summary>The sum of what was kept.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static T Sum(T* kept, int count)
    {
        TV a = TV.Load(kept);
        TV b = TV.Load(kept + TV.Count);
        for (int i = 2 * TV.Count; i < count; i += 2 * TV.Count)
        {
            a += TV.Load(kept + i);
            b += TV.Load(kept + i + TV.Count);
        }

        return TV.Sum(a + b);
    }

    /// <summary>Two exponentials.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (TV A, TV B) Exp2<TDivergence, TEntropy>(TV a, TV b) =>
#if !NET9_0_OR_GREATER
        // .NET 8 allows a method little inlining: of a loop that does so much besides it would leave much undone.
        typeof(TDivergence) == typeof(ForwardKl) || typeof(TDivergence) == typeof(ReverseKl) || typeof(TEntropy) != typeof(NoEntropy)
            ? SimdMath<TV, T>.CallExp2(a, b) :
#endif
        SimdMath<TV, T>.Exp2(a, b);

    /// <summary>The argument of an exponential, in base 2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TV Argument<TFar>(TV y, TV m, TV point)
        where TFar : struct, ISwitch => TFar.On ? (y - point) * m : TV.MultiplyAdd(y, m, point);

    /// <summary>Adds an exponential times its argument and, where it is wanted, its square.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void AddEntropy<TEntropy>(TV e, TV argument, ref TV arguments, ref TV squares)
        where TEntropy : struct, IEntropy
    {
        if (typeof(TEntropy) == typeof(NoEntropy))
        {
            return;
        }

        // From where exponentials are 0 they have no term, be the argument -inf. Max keeps its second operand when that is a NaN.
        const int Headroom = SimdMath<TV, T>.Headroom;
        TV lowest = SimdMath<TV, T>.C(typeof(T) == typeof(float) ? -127 - Headroom : -1023 - Headroom);
        arguments = TV.MultiplyAdd(e, TV.Max(lowest, argument), arguments);
        if (typeof(TEntropy) == typeof(EntropyAndSquares))
        {
            squares = TV.MultiplyAdd(e, e * SimdMath<TV, T>.C(1 / SimdMath<TV, T>.HeadroomScale), squares); // too large with the headroom of both
        }
    }

    /// <summary>
    /// The gradient of a block from what <see cref="Exponentials"/> kept: that of <typeparamref name="TDivergence"/> less the smoothing,
    /// times the slope of a softcap.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gradient<TElement, TDivergence, TSmoothing, TSoftcap>(
        T* p, T* q, T* extra, void* destination, int count, T a, T b, T smoothing)
        where TElement : struct, IElement<TV>
        where TDivergence : struct, IDivergence
        where TSmoothing : struct, ISwitch
        where TSoftcap : struct, ISwitch
    {
        TV va = TV.Create(a);
        TV vb = TV.Create(b);
        TV vs = TV.Create(smoothing);
        for (int i = 0; i < count; i += 2 * TV.Count)
        {
            TElement.Store(
                Gradient<TDivergence, TSmoothing, TSoftcap>(p + i, q + i, extra + i, va, vb, vs),
                Gradient<TDivergence, TSmoothing, TSoftcap>(p + i + TV.Count, q + i + TV.Count, extra + i + TV.Count, va, vb, vs),
                destination,
                i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TV Gradient<TDivergence, TSmoothing, TSoftcap>(T* p, T* q, T* extra, TV a, TV b, TV smoothing)
        where TDivergence : struct, IDivergence
        where TSmoothing : struct, ISwitch
        where TSoftcap : struct, ISwitch
    {
        TV e = TV.Load(p);
        TV g = TDivergence.Gradient(e, q, a, b);
        if (TSmoothing.On)
        {
            g -= TSoftcap.On ? smoothing : TV.Load(extra) * smoothing;
        }

        return TSoftcap.On ? g * TV.Load(extra) : g;
    }

    /// <summary>y = tanh(s*x/c) and, unless <paramref name="slope"/> is null, 1 - y².</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Softcap(T* x, T* slope, int count, T scaleOverCap)
    {
        TV k = TV.Create(scaleOverCap);
        for (int i = 0; i < count; i += TV.Count)
        {
            (TV tanh, TV derivative) = SimdMath<TV, T>.Tanh(TV.Load(x + i) * k);
            TV.Store(tanh, x + i);
            if (slope != null)
            {
                TV.Store(derivative, slope + i);
            }
        }
    }
}
