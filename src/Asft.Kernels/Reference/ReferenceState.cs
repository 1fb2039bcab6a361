namespace Asft.Kernels.Reference;

/// <summary>The state of a row, or of a shard of it, straight from the definition of <see cref="RowState"/>, in double precision.</summary>
internal static unsafe class ReferenceState
{
    /// <summary>Summarizes a row.</summary>
    /// <param name="plan">The call.</param>
    /// <param name="row">Which row.</param>
    /// <param name="policy">Its logits x.</param>
    /// <param name="reference">The reference's logits, or null.</param>
    /// <returns>The state.</returns>
    public static RowState Of(in RowPlan plan, long row, double[] policy, double[]? reference)
    {
        ReadOnlySpan<TopKEntry> entries = TopKEntry.Read(plan, row, new TopKEntry[plan.EntryCount]);
        LossObjective objective = plan.Problem.Objective;
        double factor = TokenResult.FactorOf(objective);
        long label = plan.LabelOf(row);
        double[] y = Array.ConvertAll(policy, x => TokenResult.YOf(objective, x));
        double[]? yr = reference is null ? null : Array.ConvertAll(reference, r => TokenResult.YOf(objective, r));
        double max = MaxOf(y);
        double referenceMax = yr is null ? 0 : MaxOf(yr);
        int top = Array.IndexOf(policy, policy.Max());
        double center = plan.Use != ReferenceUse.ReverseKl || yr is null ? 0 : double.IsFinite(yr[top]) ? yr[top] : referenceMax;
        double[] e = Array.ConvertAll(y, value => Math.Exp(factor * (value - max)));
        double[] er = yr is null ? [] : Array.ConvertAll(yr, value => Math.Exp(factor * (value - referenceMax)));
        double cross = 0;
        for (int i = 0; i < er.Length; i++)
        {
            cross += plan.Use switch
            {
                ReferenceUse.ForwardKl when er[i] != 0 => er[i] * ((yr![i] - referenceMax) - (y[i] - max)),
                ReferenceUse.ReverseKl when e[i] != 0 => e[i] * ((y[i] - max) - (yr![i] - center)),
                _ => 0,
            };
        }

        double[] unmasked = Array.FindAll(y, value => value > double.NegativeInfinity);
        bool hasLabel = plan.HasLabel(row);
        double vocabulary = plan.Vocabulary;
        HashSet<long> columns = [];
        foreach (TopKEntry entry in entries)
        {
            columns.Add(entry.Column);
        }

        var state = new RowState
        {
            Max = max,
            Sum = e.Sum(),
            OtherSum = e.Where((_, i) => i != label).Sum(),
            ReferenceMax = referenceMax,
            ReferenceSum = er.Sum(),
            Center = center,
            Cross = cross,
            Distance = plan.HasSmoothing ? unmasked.Sum(value => (value - max) / vocabulary) : 0,
            Unmasked = plan.HasSmoothing ? unmasked.Length / vocabulary : 0,
            Label = hasLabel ? y[label] : 0,
            ReferenceLabel = hasLabel && yr is not null ? yr[label] : 0,
            Entropy = y.Zip(e, (value, weight) => weight == 0 ? 0 : weight * (value - max)).Sum(),
            Squares = e.Sum(value => value * value),
            TailSum = !plan.IsTopK ? 0 : e.Where((_, i) => !columns.Contains(i)).Sum(),
            Largest = policy[top],
            Predicted = plan.Problem.FirstColumn + top,
        };
        return TopKEntry.Add(plan, row, plan.WithLabelReference(row, state), entries);
    }

    /// <summary>The gradient of a row's own columns, from the state of all of them.</summary>
    /// <param name="plan">The call.</param>
    /// <param name="row">Which row.</param>
    /// <param name="policy">Its logits x.</param>
    /// <param name="reference">The reference's logits, or null.</param>
    /// <returns>The gradient, scaled.</returns>
    public static double[] Gradient(in RowPlan plan, long row, double[] policy, double[]? reference)
    {
        LossObjective objective = plan.Problem.Objective;
        double factor = TokenResult.FactorOf(objective);
        RowState state = plan.Outputs.State[row];
        bool reverse = plan.GradientUse == ReferenceUse.ReverseKl;
        TokenResult result = plan.ResultOf(row, state);
        GradientCoefficients c = result.Gradient(plan.ScaleOf(row), plan.LabelSlope(row));
        var gradient = new double[policy.Length];
        for (int i = 0; i < gradient.Length; i++)
        {
            double y = TokenResult.YOf(objective, policy[i]);
            double p = Math.Exp(factor * (y - state.Max)) / state.Sum;
            double value = c.Policy * p;
            if (c.Reference != 0 && (p != 0 || !reverse))
            {
                double yr = TokenResult.YOf(objective, reference![i]);
                value += c.Reference * (reverse
                    ? p * factor * ((y - state.Max) - (yr - state.Center))
                    : Math.Exp(factor * (yr - state.ReferenceMax)) / state.ReferenceSum);
            }

            value -= double.IsNegativeInfinity(y) ? 0 : c.Smoothing;
            gradient[i] = i == plan.LabelOf(row) ? c.AtLabel : value * TokenResult.SlopeOf(objective, policy[i]);
        }

        foreach (TopKEntry entry in TopKEntry.Read(plan, row, new TopKEntry[plan.EntryCount]))
        {
            if (entry.Column != plan.LabelOf(row))
            {
                gradient[entry.Column] = entry.Gradient(result, c, plan.ScaleOf(row));
            }
        }

        return gradient;
    }

    /// <summary>A largest value to measure from: any will do where all are -inf.</summary>
    private static double MaxOf(double[] values) => values.Max() is var max && double.IsNegativeInfinity(max) ? 0 : max;
}
