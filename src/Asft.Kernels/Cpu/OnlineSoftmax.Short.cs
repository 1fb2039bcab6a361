using Asft.Kernels.Cpu.Simd;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <content>
/// Rows of a single block, without a reference, smoothing or a softcap: classifiers and the models of characters. With a few dozen logits in a
/// row, what is done once for each row is most of the work, so it is kept in registers here: no state is merged and none is handed
/// around. What is computed is what the general passes and <see cref="TokenResult"/> compute.
/// </content>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap>
{
    private bool IsShort => !TDivergence.Reads && !TSmoothing.On && !TSoftcap.On && !_backward && _blocks == 1;

    /// <summary>A row that counts.</summary>
    private void CountShort(long row, Block at, in RowBuffers<T> buffers)
    {
        byte* x = (byte*)_problem.Logits.Row(row);
        T max = at.Direct ? BlockLoops<TV, T>.Max<TElement>(x, at.Padded) : PaddedMax(x, at, buffers.Policy);
        double largest = ToDouble(max);
        if (!double.IsFinite(largest))
        {
            Count(row, row + 1, buffers);
            return;
        }

        // All that is read of the logits, before in place the exponentials take their memory.
        long label = _problem.Labels[row];
        double labelY = PolicyY(x, at, label, buffers);
        long predicted = _plan.Outputs.Predicted == null ? 0 : Math.Max(0, FirstEqual(x, at, max, buffers));
        byte* gradient = TGradient.On ? (byte*)_gradient.Logits.Row(row) : null;
        T* p = KeptPolicy(gradient, at, buffers);
        bool far = typeof(T) == typeof(double) || IsFar(largest);
        T point = PointOf(largest, far);
        var points = new BlockPoints<T>(_multiplier, point, default, default);
        int size = _problem.Logits.Type.SizeInBytes();
        Prefetch ahead = new(x + (s_block * size), size, null, 0);
        BlockSums<T> sums;
        if (at.Direct)
        {
            Exponentials<TElement, On>(x, null, p, null, null, at.Padded, points, far, ahead, out sums);
        }
        else
        {
            Exponentials<Native<TV, T>, On>(buffers.Policy, null, p, null, null, at.Padded, points, far, ahead, out sums);
        }

        double origin = OriginOf(point, far);
        double unit = 1 / SimdMath<TV, T>.HeadroomScale;
        double sum = ToDouble(sums.Policy) * unit;
        double own = ToDouble(p[at.Direct ? TElement.Place(label) : label]) * unit;

        // A label that has less than half leaves enough digits for a subtraction.
        bool certain = own > 0.5 * sum;
        double others = certain ? SumWithout(label, p, at) * unit : sum - own;
        double logSum = Math.Log(sum);
        double distance = _factor * (labelY - origin);
        own = certain ? Math.Exp(distance) : own;
        double logProbability = certain ? TokenResult.LogOfCertain(others / own) : distance - logSum;
        double lse = (_factor * origin) + logSum;
        double zLoss = _problem.Objective.ZLossWeight;
        double weight = TokenResult.WeightOf(_problem.Objective, logProbability, logRatio: 0);
        double loss = TokenResult.Times(weight, -logProbability) + (zLoss == 0 ? 0 : zLoss * lse * lse);
        _plan.Outputs.Write(_plan.Arithmetic, row, loss, logProbability, weight, 0, lse, 0, double.IsNaN(lse) ? -1 : predicted);
        if (_plan.Outputs.State != null)
        {
            _plan.Outputs.State[row] = new RowState { Max = origin, Sum = sum, OtherSum = others, Label = labelY };
        }

        if (TGradient.On)
        {
            double scale = _plan.ScaleOf(row) * _problem.Objective.LogitScale;
            double z = zLoss == 0 ? 0 : 2 * zLoss * lse;
            if (double.IsFinite(lse) && double.IsFinite(scale) && double.IsFinite(weight + z))
            {
                double total = others + own;
                double atLabel = scale * ((-weight * (others / total)) + (z * (own / total)));
                GradientShort(p, at, gradient, FromDouble<T>(scale * (weight + z) * unit / sum), buffers.Policy);
                ScalarElement.Write(gradient, _gradient.Logits.Type, label, atLabel);
            }
            else
            {
                FillNaN(gradient);
            }
        }
    }

    /// <summary>The largest logit of a row that is copied, and padded with -inf.</summary>
    private T PaddedMax(byte* x, Block at, T* staged)
    {
        var nothing = TV.Create(FromDouble<T>(double.NegativeInfinity));
        TV.Store(nothing, staged + at.Padded - (2 * TV.Count));
        TV.Store(nothing, staged + at.Padded - TV.Count);
        BlockConversion.Widen(x, _problem.Logits.Type, staged, at.Count);
        return BlockLoops<TV, T>.Max<Native<TV, T>>(staged, at.Padded);
    }

    private void GradientShort(T* p, Block at, byte* gradient, T factor, T* staged)
    {
        if (at.Direct || (_keepInGradient && at.Padded == at.Count))
        {
            BlockLoops<TV, T>.Gradient<TElement, TDivergence, TSmoothing, TSoftcap>(p, null, null, gradient, at.Padded, factor, default, default);
        }
        else
        {
            BlockLoops<TV, T>.Gradient<Native<TV, T>, TDivergence, TSmoothing, TSoftcap>(p, null, null, staged, at.Padded, factor, default, default);
            BlockConversion.Narrow(staged, gradient, _gradient.Logits.Type, at.Count);
        }
    }
}
