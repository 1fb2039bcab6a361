using Asft.Kernels.Cpu.Simd;
using static Asft.Kernels.ScalarElement;

namespace Asft.Kernels.Cpu;

/// <content>
/// Rows of a single block, without a reference, smoothing or a softcap: those of classifiers and of models of characters. With a few dozen
/// logits in a row, what is done once for each row is most of the work, so it is kept in registers here: no state is merged, and none is
/// handed around. What is computed is what the general passes and <see cref="TokenResult"/> compute.
/// </content>
internal sealed unsafe partial class OnlineSoftmax<TV, T, TElement, TDivergence, TGradient, TSmoothing, TSoftcap, TEntropy>
{
    /// <summary>Whether all rows are short.</summary>
    private bool IsShort => !TDivergence.Reads && !TSmoothing.On && !TSoftcap.On && !_plan.IsBackward && _blocks == 1 && _plan.IsSelfContained;

    /// <summary>Whether a short row is read, and its gradient written, where it lies.</summary>
    private bool IsInPlace => _problem.Logits.Type == _plan.Arithmetic && _problem.Vocabulary >= TV.Count;

    /// <summary>A row that counts.</summary>
    private void CountShort(long row, in RowBuffers<T> buffers)
    {
        // In place, the exponentials take the memory of the logits: what is read of those is read first.
        byte* source = (byte*)_problem.Logits.Row(row);
        byte* gradient = TGradient.On ? (byte*)_gradient.Logits.Row(row) : null;
        int count = (int)_problem.Vocabulary;
        bool inPlace = IsInPlace;
        T* x = inPlace ? (T*)source : Stage(source, buffers.Policy);
        T* p = inPlace && TGradient.On ? (T*)gradient : buffers.P;
        int length = Math.Max(count, TV.Count);
        int predicted = 0;
        T max = _predicts ? ShortLoops<TV, T>.Max(x, length, out predicted) : ShortLoops<TV, T>.Max(x, length);
        double largest = ToDouble(max);
        if (!double.IsFinite(largest))
        {
            Count(row, row + 1, buffers);
            return;
        }

        long label = _problem.Labels[row];
        double labelY = ToDouble(x[label]);
        bool far = IsFar(largest);
        T point = PointOf(largest, far);
        const double Unit = 1 / SimdMath<TV, T>.HeadroomScale;
        (T kept, T arguments, T squared) = far ? ShortLoops<TV, T>.Exponentials<On, TEntropy>(x, p, length, _multiplier, point)
            : ShortLoops<TV, T>.Exponentials<Off, TEntropy>(x, p, length, _multiplier, point);
        double sum = Unit * ToDouble(kept);
        double own = Unit * ToDouble(p[label]);

        // A label that has less than half leaves enough digits for a subtraction.
        bool certain = own > 0.5 * sum;
        double others = certain ? Unit * SumWithout(label, p, length) : sum - own;
        double logSum = Math.Log(sum);
        double origin = OriginOf(point, far);
        double distance = _factor * (labelY - origin);
        own = certain ? Math.Exp(distance) : own;
        double logProbability = certain ? TokenResult.LogOfCertain(others / own) : distance - logSum;
        double lse = (_factor * origin) + logSum;
        double entropySum = Unit * ToDouble(arguments) * _perArgument;
        double squares = Unit * ToDouble(squared);
        double entropy = TEntropy.On ? Math.Max(0, logSum - (_factor * (entropySum / sum))) : 0; // rounding alone; NaN passes

        double zLossWeight = _problem.Objective.ZLossWeight;
        double total = others + own;
        double weight = TokenResult.WeightOf(_problem.Objective, logProbability, others / total, logRatio: 0, entropy);
        double nll = _problem.Objective.NllWeight * weight;
        double loss = TokenResult.Times(nll, -logProbability) + (zLossWeight == 0 ? 0 : zLossWeight * lse * lse);
        _plan.Outputs.Write(
            _plan.Arithmetic, row, new TokenMetrics(_plan.WeightOf(row) * loss, logProbability, weight, 0, lse, 0, entropy, TEntropy.HasSquares ? squares / (sum * sum) : 0, 0, predicted));
        if (_plan.Outputs.State != null)
        {
            _plan.Outputs.State[row] = new RowState { Max = origin, Sum = sum, OtherSum = others, Label = labelY, Entropy = entropySum, Squares = squares };
        }

        if (!TGradient.On)
        {
            return;
        }

        double scale = _plan.ScaleOf(row) * _problem.Objective.LogitScale;
        double zLoss = zLossWeight == 0 ? 0 : 2 * zLossWeight * lse;
        if (!double.IsFinite(lse) || !double.IsFinite(scale) || !double.IsFinite(nll + zLoss))
        {
            FillNaN(gradient);
            return;
        }

        ShortLoops<TV, T>.Multiply(p, p, length, FromDouble<T>(scale * (nll + zLoss) * Unit / sum));
        if (!inPlace)
        {
            BlockConversion.Narrow(p, gradient, _gradient.Logits.Type, count);
        }

        ScalarElement.Write(gradient, _gradient.Logits.Type, label, scale * ((-nll * (others / total)) + (zLoss * (own / total))));
    }

    /// <summary>A copy of a row in the type of the arithmetic, of at least one register.</summary>
    private T* Stage(byte* row, T* staged)
    {
        int count = (int)_problem.Vocabulary;
        TV nothing = TV.Create(FromDouble<T>(double.NegativeInfinity));
        if (_problem.Logits.Type == _plan.Arithmetic && row + (TV.Count * sizeof(T)) <= _end)
        {
            // What lies behind the row is other rows', so it may be read. A copy in parts would make whoever reads it whole wait.
            ShortLoops<TV, T>.StoreFirst((T*)row, staged, count, nothing);
            return staged;
        }

        TV.Store(nothing, staged);
        BlockConversion.Widen(row, _problem.Logits.Type, staged, count);
        return staged;
    }

    /// <summary>The sum of a row's exponentials without one of them.</summary>
    private static double SumWithout(long index, T* p, int length)
    {
        T own = p[index];
        p[index] = default;
        double sum = ToDouble(ShortLoops<TV, T>.Sum(p, length));
        p[index] = own;
        return sum;
    }
}
