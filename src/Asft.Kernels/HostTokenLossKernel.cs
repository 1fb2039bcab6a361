using System.Numerics;

namespace Asft.Kernels;

/// <summary>What all kernels for host memory have in common: everything but the loss and its gradient. Nothing is left to be done when a call returns.</summary>
public abstract unsafe class HostTokenLossKernel : ITokenLossKernel
{
    /// <summary>bfloat16 elements that are converted at a time: they stay in the first-level cache.</summary>
    private const int BlockElements = 1024;

    /// <summary>Elements that are worth another thread.</summary>
    private const int ThreadElements = 1 << 15;

    private protected HostTokenLossKernel()
    {
    }

    /// <inheritdoc/>
    public abstract string Name { get; }

    /// <inheritdoc/>
    public bool IsAsynchronous => false;

    /// <summary>Largest number of threads to use, at least 1.</summary>
    private protected virtual int Threads => Environment.ProcessorCount;

    /// <inheritdoc/>
    public abstract void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient);

    /// <inheritdoc/>
    public abstract void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default);

    /// <inheritdoc/>
    public void Merge(in TokenProblem problem, RowState* states, RowState* others)
    {
        var plan = RowPlan.Merge(problem, states, others);
        double factor = TokenResult.FactorOf(problem.Objective);
        for (long row = 0; row < problem.Rows; row++)
        {
            states[row] = RowState.Merge(states[row], others[row], plan.Use, factor);
        }
    }

    /// <inheritdoc/>
    public void Finish(in TokenProblem problem, in TokenOutputs outputs)
    {
        var plan = RowPlan.Finish(problem, outputs);
        TokenLabels.Check(plan);
        for (long row = 0; row < problem.Rows; row++)
        {
            if (plan.Counts(row))
            {
                plan.Write(row, outputs.State[row], plan.ResultOf(row, outputs.State[row]));
            }
            else
            {
                outputs.WriteUncounted(plan.Arithmetic, row);
            }
        }
    }

    /// <inheritdoc/>
    public abstract void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient);

    /// <inheritdoc/>
    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        if (unlessOne == null || ScalarElement.Read(unlessOne, problem.Logits.Type.Arithmetic(), 0) != 1)
        {
            Backward(problem, saved, gradient);
        }
    }

    /// <inheritdoc/>
    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        RowPlan.CheckRescale(gradient);
        LogitMatrix rows = gradient.Logits;
        double factor = gradient.Upstream == null ? 1 : ScalarElement.Read(gradient.Upstream, rows.Type.Arithmetic(), 0);
        if (factor == 1)
        {
            return;
        }

        TokenProblem all = problem;
        long count = problem.Vocabulary;
        double threads = Math.Clamp((double)problem.Rows * count / ThreadElements, 1, Threads);
        Parallel.For(0, problem.Rows, new ParallelOptions { MaxDegreeOfParallelism = (int)threads }, row =>
        {
            if (RowPlan.Counts(all.Labels, all.Objective.IgnoreIndex, all.Weights, rows.Type.Arithmetic(), row))
            {
                Multiply(rows.Row(row), rows.Type, count, factor);
            }
        });
    }

    /// <inheritdoc/>
    public void Count(in TokenCounting count)
    {
        RowPlan.CheckRows(count.Rows, nameof(count));
        long counted = 0;
        for (long row = 0; row < count.Rows; row++)
        {
            counted += count.Labels[row] == count.IgnoreIndex ? 0 : 1;
        }

        double denominator = !count.IsMean || counted == 0 ? 1 : count.Denominator == null ? counted : *count.Denominator;
        *count.Counted = counted;
        ScalarElement.Write(count.Factor, count.Type, 0, denominator > 0 && double.IsFinite(denominator) ? 1 / denominator : double.NaN);
    }

    /// <inheritdoc/>
    public void Total(void* losses, long rows, ElementType type, void* factor, void* total)
    {
        RowPlan.CheckRows(rows, nameof(rows));
        double sum = type == ElementType.Float64 ? Sum((double*)losses, rows) : Sum((float*)losses, rows);
        *(double*)total = factor == null ? sum : sum * *(double*)factor;
    }

    /// <inheritdoc/>
    public void ThrowIfFaulted()
    {
    }

    private static double Sum<T>(T* values, long count)
        where T : unmanaged, INumberBase<T>
    {
        double sum = 0;
        for (long i = 0; i < count; i++)
        {
            sum += double.CreateChecked(values[i]);
        }

        return sum;
    }

    /// <summary>Multiplies a row, whose products are rounded to its type.</summary>
    private static void Multiply(void* row, ElementType type, long count, double factor)
    {
        switch (type)
        {
            case ElementType.Float64:
                Multiply((double*)row, count, factor);
                break;
            case ElementType.Float32:
                Multiply((float*)row, count, (float)factor);
                break;
            case ElementType.BFloat16:
                float* block = stackalloc float[BlockElements];
                for (long i = 0; i < count; i += BlockElements)
                {
                    int length = (int)Math.Min(BlockElements, count - i);
                    BlockConversion.Widen((ushort*)row + i, type, block, length);
                    Multiply(block, length, (float)factor);
                    BlockConversion.Narrow(block, (ushort*)row + i, type, length);
                }

                break;
            default:
                for (long i = 0; i < count; i++)
                {
                    ScalarElement.Write(row, type, i, ScalarElement.Read(row, type, i) * factor);
                }

                break;
        }
    }

    private static void Multiply<T>(T* values, long count, T factor)
        where T : unmanaged, INumberBase<T>
    {
        long i = 0;
        for (; i <= count - Vector<T>.Count; i += Vector<T>.Count)
        {
            Vector.Store(Vector.Load(values + i) * factor, values + i);
        }

        for (; i < count; i++)
        {
            values[i] *= factor;
        }
    }
}
