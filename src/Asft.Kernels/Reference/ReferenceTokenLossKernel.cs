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
    public override void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient) =>
        Run(RowPlan.Backward(problem, default, gradient)); // which computes everything again

    private static void Run(in RowPlan plan)
    {
        TokenLabels.Check(plan.Problem);
        for (long row = 0; row < plan.Problem.Rows; row++)
        {
            if (plan.Counts(row))
            {
                ReferenceRow r = Evaluate(plan, row);
                plan.Outputs.Write(
                    plan.Arithmetic, row, r.Loss, r.LogProbability, r.Weight, r.Kl, r.LogSumExp, r.ReferenceLogSumExp, r.Predicted);
                WriteGradient(plan, row, r.Gradient, plan.ScaleOf(row));
            }
            else
            {
                plan.Outputs.WriteUncounted(plan.Arithmetic, row);
                WriteGradient(plan, row, new double[plan.Problem.Vocabulary], scale: 1);
            }
        }
    }

    private static ReferenceRow Evaluate(in RowPlan plan, long row)
    {
        TokenProblem problem = plan.Problem;
        double[] x = Read(problem.Logits, row, problem.Vocabulary);
        double[]? r = plan.Use == ReferenceUse.None || problem.Reference.IsNull ? null : Read(problem.Reference, row, problem.Vocabulary);
        return ReferenceRow.Evaluate(problem.Objective, x, r, problem.Labels[row]);
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
