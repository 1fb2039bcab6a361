using Asft.Kernels.Ilgpu.OnDevice;

namespace Asft.Kernels.Ilgpu;

/// <summary>
/// Between the device's numbers of a row and the host's. The device measures in y, where z = factor*y, and in units of
/// <see cref="PerY"/>: then no difference of two finite logits, and no sum of them over a vocabulary, is more than a float32 holds.
/// </summary>
/// <param name="plan">The call.</param>
internal readonly unsafe struct RowUnits(in RowPlan plan)
{
    /// <summary>The device's units to 1 of y.</summary>
    public const double PerY = 1.0 / (1 << 24);

    /// <summary>Coefficients above this are left to the exponentials in part, so that a float32 holds both.</summary>
    private const double LargestCoefficient = 1e30;

    private readonly RowPlan _plan = plan;
    private readonly TokenProblem _problem = plan.Problem;
    private readonly ReferenceUse _use = plan.Use;
    private readonly double _factor = TokenResult.FactorOf(plan.Problem.Objective);

    /// <summary>z of a device's unit.</summary>
    public double Factor => _factor / PerY;

    /// <summary>What a logit is multiplied with before its hyperbolic tangent is taken.</summary>
    public double Inner => _problem.Objective.LogitScale / _factor;

    /// <summary>The state of a row from the sums that the device found.</summary>
    /// <param name="row">Which row.</param>
    /// <param name="sums">Its sums.</param>
    /// <returns>The state.</returns>
    public RowState StateOf(long row, in DeviceRowState<double> sums)
    {
        bool hasLabel = _plan.HasLabel(row);
        bool readsReference = _plan.Reads != ReferenceUse.None;
        double label = hasLabel ? LabelOf(_problem.Logits, row) : 0;
        double max = sums.Sum == 0 ? 0 : sums.Max / PerY;
        double own = hasLabel ? Math.Exp(_factor * (label - max)) : 0;
        var state = new RowState
        {
            Max = max,
            Sum = sums.Sum,
            OtherSum = Math.Max(sums.Sum - own, 0),
            ReferenceMax = !readsReference || sums.ReferenceSum == 0 ? 0 : sums.ReferenceMax / PerY,
            ReferenceSum = readsReference ? sums.ReferenceSum : 0,
            Center = _use == ReferenceUse.ReverseKl && readsReference ? sums.Center / PerY : 0,
            Cross = sums.Cross / PerY,
            Distance = sums.Distance / _plan.Vocabulary / PerY,
            Unmasked = (double)sums.Unmasked / _plan.Vocabulary,
            Label = label,
            ReferenceLabel = !hasLabel || !readsReference ? 0 : LabelOf(_problem.Reference, row),
            Entropy = sums.Entropy / PerY,
            Squares = sums.Squares,
            Largest = ScalarElement.Read(_problem.Logits.Row(row), _problem.Logits.Type, sums.Predicted),
            Predicted = _problem.FirstColumn + sums.Predicted,
        };

        // A large weight shows every digit that subtracting the label's own term has lost.
        bool shows = _problem.Objective.Weighting == TokenWeighting.ImportanceRatio && own > 0.5 * sums.Sum;
        return shows ? state with { OtherSum = SumWithout(row, state.Max, [_plan.LabelOf(row)]) } : state;
    }

    /// <summary>The sum that a state is to have without the entries of a top-k reference; where these have most of it, by a sum of all others.</summary>
    /// <param name="row">Which row.</param>
    /// <param name="state">Its state.</param>
    /// <param name="entries">The entries.</param>
    /// <returns>The sum.</returns>
    public double TailSum(long row, in RowState state, ReadOnlySpan<TopKEntry> entries)
    {
        double own = 0;
        var columns = new HashSet<long>(entries.Length);
        foreach (TopKEntry entry in entries)
        {
            own += Math.Exp(_factor * (entry.Y - state.Max));
            columns.Add(entry.Column);
        }

        return own < 0.5 * state.Sum ? state.Sum - own : SumWithout(row, state.Max, columns);
    }

    /// <summary>What the device needs to write a row's gradient.</summary>
    /// <param name="state">The row's state.</param>
    /// <param name="coefficients">The gradient, as the host has it.</param>
    /// <returns>The same in the device's units.</returns>
    public RowGradient<double> GradientOf(in RowState state, in GradientCoefficients coefficients)
    {
        bool wide = _problem.Logits.Type == ElementType.Float64;
        double Narrow(double y) => wide ? y : (float)y;
        bool reverse = coefficients.Reference != 0 && _use == ReferenceUse.ReverseKl;

        // Reverse: differences are measured from where the policy has its mass, and those that weigh most are small then.
        double mean = reverse && double.IsFinite(state.Cross) ? state.Cross / state.Sum : 0;
        double max = Narrow(state.Max);
        double origin = reverse ? state.Center : state.ReferenceMax;
        double referenceMax = Narrow(origin - mean);
        double toProbability = Math.Exp(_factor * (max - state.Max)) / state.Sum;
        double moved = _factor * ((max - state.Max) - (referenceMax - origin));
        double policy = toProbability * (coefficients.Policy + (reverse ? coefficients.Reference * moved : 0));
        double reference = reverse
            ? coefficients.Reference * Factor * toProbability
            : coefficients.Reference == 0 ? 0 : coefficients.Reference * Math.Exp(_factor * (referenceMax - state.ReferenceMax)) / state.ReferenceSum;
        double shift = Math.Abs(policy) > LargestCoefficient ? 64 * Math.Log(2) : 0;
        return new RowGradient<double>
        {
            Max = max * PerY,
            ReferenceMax = referenceMax * PerY,
            Policy = policy * Math.Exp(-shift),
            Reference = reverse ? reference * Math.Exp(-shift) : reference,
            Smoothing = coefficients.Smoothing,
            Shift = shift,
        };
    }

    private double LabelOf(in LogitMatrix matrix, long row) => YOf(matrix, row, _plan.LabelOf(row));

    /// <summary>y of a logit, as the device rounds it.</summary>
    private double YOf(in LogitMatrix matrix, long row, long index)
    {
        LossObjective objective = _problem.Objective;
        double x = ScalarElement.Read(matrix.Row(row), matrix.Type, index);
        return _problem.Logits.Type == ElementType.Float64
            ? objective.LogitSoftcap > 0 ? DoubleMath.Tanh(Inner * x) : x
            : objective.LogitSoftcap > 0 ? SingleMath.Tanh((float)Inner * (float)x) : (float)x;
    }

    /// <summary>The sum of a row's exponentials without those of some columns.</summary>
    private double SumWithout(long row, double max, HashSet<long> columns)
    {
        double sum = 0;
        for (long i = 0; i < _problem.Vocabulary; i++)
        {
            sum += columns.Contains(i) ? 0 : Math.Exp(_factor * (YOf(_problem.Logits, row, i) - max));
        }

        return sum;
    }
}
