using Asft.Kernels.Cpu.Simd;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <content>Blocks whose sums may be larger than the type of the arithmetic holds.</content>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy>
{
    /// <summary>Whether a sum over the block may be larger than the type of the arithmetic holds, and be done again with care.</summary>
    private bool NeedsCare(double lowest, in BlockMaxima maxima)
    {
        double size = Math.Max(-lowest, Math.Max(Math.Abs(maxima.Policy), Math.Max(Math.Abs(maxima.Reference), Math.Abs(maxima.Center))));
        return !(size * ToDouble(_multiplier) < s_largestSummed);
    }

    /// <summary>
    /// Finds a block's maxima, and the lowest logit of the row whose low ones weigh something: what a model gives no mass to weighs nothing
    /// where its own mass is the weight.
    /// </summary>
    private static (T Policy, T Reference) Ranges(void* x, void* r, int count, out double lowest)
    {
        (bool policy, bool reference) = (TSmoothing.On || !TDivergence.Weighing(true, false), TDivergence.Reads && TDivergence.Weighing(true, false));
        lowest = double.PositiveInfinity;
        return (
            policy ? Range(x, count, ref lowest) : BlockLoops<TV, T>.Max<TElement>(x, count),
            reference ? Range(r, count, ref lowest) : TDivergence.Reads ? BlockLoops<TV, T>.Max<TElement>(r, count) : default);
    }

    private static T Range(void* x, int count, ref double lowest)
    {
        (T low, T largest) = BlockLoops<TV, T>.Range<TElement>(x, count);
        lowest = Math.Min(lowest, ToDouble(low));
        return largest;
    }

    /// <summary>
    /// The divergence and smoothing terms of a block once more, in double: differences of finite logits can be larger than a float,
    /// while their product with a probability is not. Kept differences are scaled until they fit.
    /// </summary>
    private RowState SumCarefully(byte* x, byte* r, Block at, in RowState state, ref BlockScale scale, in RowBuffers<T> buffers)
    {
        if (at.Direct)
        {
            BlockConversion.Widen(PolicyAt(x, at), _problem.Logits.Type, buffers.Policy, at.Count);
            if (TDivergence.Reads)
            {
                BlockConversion.Widen(ReferenceAt(r, at), _problem.Reference.Type, buffers.Reference, at.Count);
            }
        }

        double cross = 0;
        double distance = 0;
        double largest = 0;
        for (int i = 0; i < at.Count; i++)
        {
            (double weight, double quarter) = Difference(i, scale, buffers);
            cross += weight == 0 ? 0 : weight * quarter;
            largest = Math.Max(largest, weight == 0 || !double.IsFinite(quarter) ? 0 : Math.Abs(quarter));
            double y = ToDouble(buffers.Policy[i]);
            distance += double.IsNegativeInfinity(y) ? 0 : (y - scale.Policy) / _plan.Vocabulary;
        }

        if (TDivergence.HasCenter && TGradient.On)
        {
            scale.Distance = Math.ScaleB(1, Math.Max(0, Math.ILogB(Math.Max(1, largest / s_largestKept * ToDouble(_multiplier)))));
            T* q = _remakes ? buffers.Q : buffers.Q + at.Start;
            for (int i = 0; i < at.Count; i++)
            {
                (double weight, double quarter) = Difference(i, scale, buffers);
                q[at.Direct ? TElement.Place(i) : i] = FromDouble<T>(weight == 0 ? 0 : quarter / scale.Distance * 4 * ToDouble(_multiplier));
            }
        }

        return state with { Cross = cross * 4, Distance = TSmoothing.On ? distance : 0 };
    }

    /// <summary>
    /// What a logit adds to the divergence: its probability, as far as the type of the arithmetic holds it, and a quarter of the
    /// difference of the arguments, which always fits a double.
    /// </summary>
    private (double Weight, double Quarter) Difference(int i, in BlockScale scale, in RowBuffers<T> buffers)
    {
        double policy = (0.25 * ToDouble(buffers.Policy[i])) - (0.25 * scale.Policy);
        double reference = 0.25 * ToDouble(buffers.Reference[i]);
        double measured = reference - (0.25 * (TDivergence.HasCenter ? scale.Center : scale.Reference));
        double argument = 4 * ToDouble(_multiplier) * TDivergence.Weighing(policy, measured);
        double weight = ToDouble(FromDouble<T>(Math.Pow(2, argument) * SimdMath<TV, T>.HeadroomScale)) / SimdMath<TV, T>.HeadroomScale;
        return (weight, TDivergence.Weighing(policy, measured) - TDivergence.Weighing(measured, policy));
    }
}
