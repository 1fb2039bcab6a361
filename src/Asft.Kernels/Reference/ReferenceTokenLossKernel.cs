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
    public override void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        KernelArguments.CheckForward(problem, gradient);
        TokenLabels.Check(problem);
        ElementType accumulator = problem.Logits.Type == ElementType.Float64 ? ElementType.Float64 : ElementType.Float32;
        for (long row = 0; row < problem.Rows; row++)
        {
            if (problem.Labels[row] == problem.Objective.IgnoreIndex)
            {
                outputs.WriteUncounted(accumulator, row);
                WriteGradient(gradient, problem, row, new double[problem.Vocabulary]);
                continue;
            }

            ReferenceRow result = Evaluate(problem, row);
            ScalarElement.Write(outputs.Loss, accumulator, row, result.Loss);
            ScalarElement.Write(outputs.LogProbability, accumulator, row, result.LogProbability);
            ScalarElement.Write(outputs.Weight, accumulator, row, result.Weight);
            ScalarElement.Write(outputs.Kl, accumulator, row, result.Kl);
            ScalarElement.Write(outputs.LogSumExp, accumulator, row, result.LogSumExp);
            ScalarElement.Write(outputs.ReferenceLogSumExp, accumulator, row, result.ReferenceLogSumExp);
            if (outputs.Predicted != null)
            {
                outputs.Predicted[row] = result.Predicted;
            }

            WriteGradient(gradient, problem, row, result.Gradient);
        }
    }

    /// <inheritdoc/>
    public override void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        KernelArguments.CheckBackward(problem, gradient);
        Forward(problem, default, gradient);
    }

    private static ReferenceRow Evaluate(in TokenProblem problem, long row)
    {
        double[] x = Read(problem.Logits, row, problem.Vocabulary);
        double[]? r = problem.Reference.IsNull ? null : Read(problem.Reference, row, problem.Vocabulary);
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

    private static void WriteGradient(in TokenGradient gradient, in TokenProblem problem, long row, double[] values)
    {
        if (gradient.Logits.IsNull)
        {
            return;
        }

        bool ignored = problem.Labels[row] == problem.Objective.IgnoreIndex;
        ElementType accumulator = problem.Logits.Type == ElementType.Float64 ? ElementType.Float64 : ElementType.Float32;
        double upstream = gradient.Upstream == null
            ? 1
            : ScalarElement.Read(gradient.Upstream, accumulator, row * gradient.UpstreamStride);
        for (long i = 0; i < values.Length; i++)
        {
            double value = ignored ? 0 : gradient.Scale * upstream * values[i];
            ScalarElement.Write(gradient.Logits.Row(row), gradient.Logits.Type, i, value);
        }
    }
}
