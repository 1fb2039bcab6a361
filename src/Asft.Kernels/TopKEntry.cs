namespace Asft.Kernels;

/// <summary>An entry of a row's top-k reference that lies in this shard.</summary>
/// <param name="Column">Its column.</param>
/// <param name="Y">The policy's y there.</param>
/// <param name="Slope"><see cref="TokenResult.SlopeOf"/> its logit.</param>
/// <param name="LogReference">The reference's log-probability, in nats.</param>
internal readonly record struct TopKEntry(long Column, double Y, double Slope, double LogReference) : IComparable<TopKEntry>
{
    /// <summary>Reads a row's entries, in the order of their columns; before a gradient in place overwrites their logits.</summary>
    /// <param name="plan">The call.</param>
    /// <param name="row">Which row.</param>
    /// <param name="room">Room for K entries; not used without such a reference.</param>
    /// <returns>The entries of this shard.</returns>
    public static unsafe ReadOnlySpan<TopKEntry> Read(in RowPlan plan, long row, Span<TopKEntry> room)
    {
        if (!plan.IsTopK)
        {
            return default;
        }

        TokenProblem problem = plan.Problem;
        TopKReference topK = problem.TopK;
        int count = 0;
        for (long i = row * topK.Count; i < (row + 1) * topK.Count; i++)
        {
            long column = topK.Indices[i] - problem.FirstColumn;
            if ((ulong)column < (ulong)problem.Vocabulary)
            {
                double x = ScalarElement.Read(problem.Logits.Row(row), problem.Logits.Type, column);
                double log = ScalarElement.Read(topK.LogProbabilities, plan.Arithmetic, i);
                room[count++] = new TopKEntry(column, TokenResult.YOf(problem.Objective, x), TokenResult.SlopeOf(problem.Objective, x), log);
            }
        }

        room[..count].Sort();
        return room[..count];
    }

    /// <summary>Takes the entries before a column off the front.</summary>
    public static ReadOnlySpan<TopKEntry> TakeBefore(long column, ref ReadOnlySpan<TopKEntry> entries)
    {
        int count = 0;
        while (count < entries.Length && entries[count].Column < column)
        {
            count++;
        }

        ReadOnlySpan<TopKEntry> taken = entries[..count];
        entries = entries[count..];
        return taken;
    }

    /// <summary>The state of a row with the terms of the reference, over the entries of this shard.</summary>
    public static RowState Add(in RowPlan plan, long row, in RowState state, ReadOnlySpan<TopKEntry> entries)
    {
        if (!plan.IsTopK)
        {
            return state;
        }

        double factor = TokenResult.FactorOf(plan.Problem.Objective);
        bool forward = plan.Use == ReferenceUse.ForwardKl;
        double own = 0;
        double sum = 0;
        double cross = 0;
        double label = plan.HasLabel(row) ? double.NaN : 0; // no number where the label is no entry
        foreach (TopKEntry entry in entries)
        {
            double reference = Math.Exp(entry.LogReference);
            double yr = entry.LogReference / factor;
            double policy = Math.Exp(factor * (entry.Y - state.Max));
            double weight = forward ? reference : policy;
            double difference = yr - (entry.Y - state.Max);
            own += policy;
            sum += reference;
            cross += weight == 0 ? 0 : weight * (forward ? difference : -difference);
            label = entry.Column == plan.LabelOf(row) ? yr : label;
        }

        // The policy's sum, too, is that of the tail and the entries: the divergence does not forgive probabilities that do not add up to 1.
        return state with { Sum = state.TailSum + own, ReferenceSum = sum, Cross = cross, ReferenceLabel = label };
    }

    /// <summary>The gradient at this entry, where it is not the label, in place of what the row's other elements have in common.</summary>
    public double Gradient(in TokenResult result, in GradientCoefficients coefficients, double scale) =>
        double.IsNaN(coefficients.Policy) ? double.NaN : Slope * result.AtEntry(coefficients, scale, Y, LogReference);

    /// <inheritdoc/>
    public int CompareTo(TopKEntry other) => Column.CompareTo(other.Column);
}
