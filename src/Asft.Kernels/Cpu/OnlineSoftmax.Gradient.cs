using Asft.Kernels.Cpu.Simd;
using Asft.Kernels.Divergence;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <content>The second pass: the gradient, from what the first has kept or, backward, from exponentials taken once more.</content>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy>
{
    private void SecondPass(
        long row,
        byte* x,
        byte* r,
        byte* gradient,
        in RowState state,
        in TokenResult result,
        GradientCoefficients coefficients,
        ReadOnlySpan<TopKEntry> entries,
        in RowBuffers<T> buffers)
    {
        if (double.IsNaN(coefficients.Policy))
        {
            FillNaN(gradient);
            return;
        }

        Measure<T> saved = _remakes ? MeasureFrom(state) : default;
        for (int block = 0; block < _blocks; block++)
        {
            Block at = BlockAt(block);
            T* p = KeptPolicy(gradient, at, buffers);
            T* q = _remakes ? buffers.Q : buffers.Q + at.Start;
            BlockScale scale = _remakes ? Recompute(x, r, at, p, saved, buffers) : buffers.Scales[block];
            double toProbability = Math.Exp(_factor * (scale.Policy - state.Max)) / (state.Sum * SimdMath<TV, T>.HeadroomScale);
            double a = toProbability * coefficients.Policy;
            double b = toProbability * coefficients.Reference;
            if (TDivergence.IsSummed && !TDivergence.HasCenter)
            {
                b = Math.Exp(_factor * (scale.Reference - state.ReferenceMax)) / (state.ReferenceSum * SimdMath<TV, T>.HeadroomScale)
                    * coefficients.Reference;
            }
            else if (TDivergence.HasCenter && b != 0)
            {
                a += b * _factor * ((scale.Policy - state.Max) - (scale.Center - state.Center));
                b *= scale.Distance * _factor / ToDouble(_multiplier);
            }

            byte* destination = gradient + (at.Start * _gradient.Logits.Type.SizeInBytes());
            if (at.Direct || (_keepInGradient && at.Padded == at.Count))
            {
                Gradient<TElement>(p, q, at, destination, a, b, coefficients, buffers);
            }
            else
            {
                Gradient<Native<TV, T>>(p, q, at, buffers.Policy, a, b, coefficients, buffers);
                BlockConversion.Narrow(buffers.Policy, destination, _gradient.Logits.Type, at.Count);
            }

            foreach (TopKEntry entry in TopKEntry.TakeBefore(at.Start + at.Count, ref entries))
            {
                ScalarElement.Write(gradient, _gradient.Logits.Type, entry.Column, entry.Gradient(result, coefficients, _plan.ScaleOf(row)));
            }
        }

        if (_plan.HasLabel(row))
        {
            ScalarElement.Write(gradient, _gradient.Logits.Type, _plan.LabelOf(row), coefficients.AtLabel);
        }
    }

    private static void Gradient<TStored>(
        T* p, T* q, Block at, void* destination, double a, double b, GradientCoefficients coefficients, in RowBuffers<T> buffers)
        where TStored : struct, IElement<TV>
    {
        T* extra = buffers.Extra + at.Start;
        (T va, T vb, T smoothing) = (FromDouble<T>(a), FromDouble<T>(b), FromDouble<T>(coefficients.Smoothing));
        if (coefficients.Reference == 0)
        {
            // The KL was computed to be looked at only: a reference without a distribution is none of the gradient's business.
            BlockLoops<TV, T>.Gradient<TStored, NoReference, TSmoothing, TSoftcap>(p, q, extra, destination, at.Padded, va, vb, smoothing);
        }
        else
        {
            BlockLoops<TV, T>.Gradient<TStored, TDivergence, TSmoothing, TSoftcap>(p, q, extra, destination, at.Padded, va, vb, smoothing);
        }
    }

    /// <summary>Where to measure from, by a state that was saved. The center is where the mean divergence says that the policy's mass lies.</summary>
    private Measure<T> MeasureFrom(in RowState state)
    {
        double center = TDivergence.HasCenter && double.IsFinite(state.Cross) ? state.Center - (state.Cross / state.Sum) : state.Center;
        return MeasureFrom(new BlockMaxima { Policy = state.Max, Reference = state.ReferenceMax, Center = center });
    }

    /// <summary>Takes a block's exponentials again.</summary>
    private BlockScale Recompute(byte* x, byte* r, Block at, T* p, in Measure<T> measure, in RowBuffers<T> buffers)
    {
        if (!at.Direct)
        {
            StagedMaxima(x, r, at, buffers);
        }

        BlockScale scale = measure.Scale;
        Exponentials<On>(x, r, at, p, measure, buffers, out BlockSums<T> sums);
        if (TDivergence.HasCenter && !double.IsFinite(ToDouble(sums.Cross)))
        {
            SumCarefully(x, r, at, default, ref scale, buffers);
        }

        return scale;
    }

    /// <summary>
    /// A row without a distribution, or with an infinite weight or divergence in its gradient, has none: every element is NaN, and no
    /// other row is touched.
    /// </summary>
    private void FillNaN(byte* gradient)
    {
        for (long i = 0; i < _problem.Vocabulary; i++)
        {
            ScalarElement.Write(gradient, _gradient.Logits.Type, i, double.NaN);
        }
    }
}
