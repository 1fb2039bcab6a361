namespace Asft.Kernels.Reference;

/// <summary>
/// The formulas of the objective written out in double precision, one row at a time and with no thought for speed:
/// what the fast kernels are tested against. Works on host memory.
/// </summary>
public sealed unsafe class ReferenceTokenLossKernel : HostTokenLossKernel
{
    /// <inheritdoc/>
    public override string Name => "reference (float64, scalar)";

    /// <inheritdoc/>
    public override void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient) =>
        Run(RowPlan.Forward(problem, outputs, gradient));

    /// <inheritdoc/>
    public override void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default) =>
        Run(RowPlan.Summarize(problem, states));

    /// <inheritdoc/>
    public override void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        var plan = RowPlan.Backward(problem, saved, gradient);
        if (plan.IsShard)
        {
            plan.CheckSaved(saved.State, nameof(saved.State));
        }

        Run(plan);
    }

    private static void Run(in RowPlan plan)
    {
        TokenLabels.Check(plan);
        for (long row = 0; row < plan.Problem.Rows; row++)
        {
            if (plan.Counts(row))
            {
                Count(plan, row);
                continue;
            }

            if (!plan.IsBackward)
            {
                plan.Outputs.WriteUncounted(plan.Arithmetic, row);
            }

            WriteGradient(plan, row, new double[plan.Problem.Vocabulary], scale: 1);
        }
    }

    /// <summary>A row that counts. Of a whole row, a gradient computes everything again; a shard does not know the others.</summary>
    private static void Count(in RowPlan plan, long row)
    {
        TokenProblem problem = plan.Problem;
        ElementType arithmetic = plan.Arithmetic;
        double[] x = Read(problem.Logits, row, problem.Vocabulary);
        double[]? r = plan.Use == ReferenceUse.None || problem.Reference.IsNull ? null : Read(problem.Reference, row, problem.Vocabulary);
        if (plan.IsSummary)
        {
            plan.Outputs.State[row] = ReferenceState.Of(plan, row, x, r);
            return;
        }

        if (plan.IsShard)
        {
            WriteGradient(plan, row, ReferenceState.Gradient(plan, row, x, r), scale: 1);
            return;
        }

        double? Of(void* values, long index) => values == null ? null : ScalarElement.Read(values, arithmetic, index);
        int count = problem.TopK.Count;
        (long[], double[])? topK = count == 0 ? null : (
            new Span<long>(problem.TopK.Indices + (row * count), count).ToArray(),
            [.. Enumerable.Range(0, count).Select(i => Of(problem.TopK.LogProbabilities, (row * count) + i)!.Value)]);
        var result = ReferenceRow.Evaluate(
            problem.Objective,
            x,
            r,
            problem.Labels[row],
            Of(problem.LabelLogProbabilities, row),
            topK,
            plan.WeightOf(row),
            Of(problem.GivenWeights, row));
        if (!plan.IsBackward)
        {
            plan.Outputs.Write(plan.Arithmetic, row, new TokenMetrics(
                result.Loss,
                result.LogProbability,
                result.Weight,
                result.Kl,
                result.LogSumExp,
                result.ReferenceLogSumExp,
                result.Entropy,
                result.SquaredProbabilitySum,
                result.ReferenceLogProbability,
                result.Predicted));
        }

        WriteGradient(plan, row, result.Gradient, plan.UpstreamOf(row));
    }

    private static double[] Read(in LogitMatrix matrix, long row, long count)
    {
        var values = new double[count];
        for (long i = 0; i < count; i++)
        {
            values[i] = ScalarElement.Read(matrix.Row(row), matrix.Type, i);
        }

        return values;
    }

    private static void WriteGradient(in RowPlan plan, long row, double[] values, double scale)
    {
        LogitMatrix gradient = plan.Gradient.Logits;
        for (long i = 0; plan.HasGradient && i < values.Length; i++)
        {
            ScalarElement.Write(gradient.Row(row), gradient.Type, i, scale * values[i]);
        }
    }
}
