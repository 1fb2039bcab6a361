using Asft.PtxVm;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>The memory that one call may use.</summary>
internal sealed unsafe class ShownMemory(PtxMachine machine) : IDisposable
{
    private readonly List<nint> _shown = [];

    public static int RealBytes(ElementType type) => type == ElementType.Float64 ? sizeof(double) : sizeof(float);

    public void Problem(in TokenProblem problem, bool readsReference)
    {
        Rows(problem);
        Matrix(problem, problem.Logits, "logits");
        if (readsReference)
        {
            Matrix(problem, problem.Reference, "reference");
        }
    }

    /// <summary>What there is for each row besides its logits.</summary>
    public void Rows(in TokenProblem problem)
    {
        Array(problem.Labels, problem.Rows * sizeof(long), "labels", true);
        Array(problem.Weights, problem.Rows * RealBytes(problem.Logits.Type), "weights", true);
        Array(problem.GivenWeights, problem.Rows * RealBytes(problem.Logits.Type), "given weights", true);
        Array(problem.LabelLogProbabilities, problem.Rows * RealBytes(problem.Logits.Type), "label log-probabilities", true);
        Array(problem.TopK.Indices, problem.Rows * problem.TopK.Count * sizeof(long), "top-k indices", true);
        Array(problem.TopK.LogProbabilities, problem.Rows * problem.TopK.Count * RealBytes(problem.Logits.Type), "top-k log-probabilities", true);
    }

    public void Outputs(in TokenProblem problem, in TokenOutputs outputs, bool isSaved)
    {
        long bytes = problem.Rows * RealBytes(problem.Logits.Type);
        Array(outputs.Loss, bytes, "loss", isSaved);
        Array(outputs.LogProbability, bytes, "log-probability", isSaved);
        Array(outputs.Weight, bytes, "weight", isSaved);
        Array(outputs.Kl, bytes, "KL", isSaved);
        Array(outputs.LogSumExp, bytes, "log-sum-exp", isSaved);
        Array(outputs.ReferenceLogSumExp, bytes, "reference log-sum-exp", isSaved);
        Array(outputs.ReferenceLogProbability, bytes, "reference log-probability", isSaved);
        Array(outputs.Entropy, bytes, "entropy", isSaved);
        Array(outputs.SquaredProbabilitySum, bytes, "sum of squares", isSaved);
        Array(outputs.Predicted, problem.Rows * sizeof(long), "predicted", isSaved);
        States(problem, outputs.State, "states", isSaved);
    }

    public void States(in TokenProblem problem, RowState* states, string name, bool isSaved) =>
        Array(states, problem.Rows * sizeof(RowState), name, isSaved);

    public void Gradient(in TokenProblem problem, in TokenGradient gradient, bool isFinished)
    {
        if (!gradient.Logits.IsNull)
        {
            bool inPlace = gradient.Logits.Data == problem.Logits.Data;
            for (long row = 0; row < problem.Rows; row++)
            {
                if (!inPlace || IsIgnored(problem, row))
                {
                    Row(problem, gradient.Logits, row, "gradient", isFinished);
                }
            }
        }

        if (gradient.Upstream != null)
        {
            long count = gradient.UpstreamStride == 0 ? 1 : problem.Rows;
            Array(gradient.Upstream, count * RealBytes(problem.Logits.Type), "upstream", true);
        }
    }

    public void Array(void* data, long bytes, string name, bool initialized)
    {
        if (data != null && bytes > 0)
        {
            machine.Memory.Register(data, bytes, name, initialized);
            _shown.Add((nint)data);
        }
    }

    public void Dispose()
    {
        for (int i = _shown.Count - 1; i >= 0; i--)
        {
            machine.Memory.Unregister((void*)_shown[i]);
        }
    }

    /// <summary>
    /// Each row by itself: what lies between two rows belongs to nobody. Ignored rows of logits are not shown: reading them is a fault.
    /// </summary>
    private void Matrix(in TokenProblem problem, in LogitMatrix matrix, string name)
    {
        Array(matrix.RowOffsets, problem.Rows * sizeof(long), name + " offsets", true);
        for (long row = 0; row < problem.Rows; row++)
        {
            if (!IsIgnored(problem, row))
            {
                Row(problem, matrix, row, name, true);
            }
        }
    }

    private void Row(in TokenProblem problem, in LogitMatrix matrix, long row, string name, bool initialized) =>
        Array(matrix.Row(row), problem.Vocabulary * matrix.Type.SizeInBytes(), $"{name} row {row}", initialized);

    private static bool IsIgnored(in TokenProblem problem, long row) => problem.Labels[row] == problem.Objective.IgnoreIndex
        || (problem.Weights != null && ScalarElement.Read(problem.Weights, problem.Logits.Type.Arithmetic(), row) == 0);
}
