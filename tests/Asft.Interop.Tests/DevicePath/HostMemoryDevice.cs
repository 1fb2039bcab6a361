using Asft.Kernels;
using Asft.Kernels.Cpu;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// A device whose memory is the host's: the CPU kernel, with the manners of an asynchronous one. It says what those are in the plainest
/// way, and lets everything above it be tested without a GPU or a program for one.
/// </summary>
internal sealed unsafe class HostMemoryDevice : ITokenLossKernel
{
    private readonly CpuTokenLossKernel _kernel = new(() => 1);
    private ArgumentOutOfRangeException? _fault;

    public string Name => "device in host memory";

    public bool IsAsynchronous => true;

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        ElementType type = Accumulator(problem.Logits.Type);
        int[] wrong = WithoutWrongLabels(problem, outputs, gradient, _kernel.Forward);
        foreach (int row in wrong)
        {
            outputs.WriteUncounted(type, row, double.NaN);
            _fault ??= TokenLabels.OutOfRange(
                "labels", $"labels[{row}]", problem.Labels[row], problem.Vocabulary, problem.Objective.IgnoreIndex);
        }
    }

    public void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default) =>
        _kernel.Summarize(problem, states, gradient);

    public void Merge(in TokenProblem problem, RowState* states, RowState* others) => _kernel.Merge(problem, states, others);

    public void Finish(in TokenProblem problem, in TokenOutputs outputs) => _kernel.Finish(problem, outputs);

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient) =>
        WithoutWrongLabels(problem, saved, gradient, _kernel.Backward);

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        if (ScalarElement.Read(unlessOne, Accumulator(problem.Logits.Type), 0) != 1)
        {
            Backward(problem, saved, gradient);
        }
    }

    public void Rescale(in TokenProblem problem, in TokenGradient gradient) => _kernel.Rescale(problem, gradient);

    public void Count(in TokenCounting count) => _kernel.Count(count);

    public void Total(void* losses, long rows, ElementType type, void* factor, void* total)
    {
        double known = factor == null ? 1 : ScalarElement.Read(factor, type, 0);
        double sum;
        _kernel.Total(losses, rows, type, &known, &sum);
        ScalarElement.Write(total, type, 0, sum);
    }

    public void ThrowIfFaulted()
    {
        if (_fault is { } fault)
        {
            _fault = null;
            throw fault;
        }
    }

    private delegate void Pass(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient);

    /// <summary>Runs a pass of the kernel without the rows whose labels it would refuse, whose gradient becomes NaN.</summary>
    private static int[] WithoutWrongLabels(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient, Pass pass)
    {
        long vocabulary = problem.Vocabulary;
        long whole = problem.WholeVocabulary == 0 ? vocabulary : problem.WholeVocabulary;
        long ignored = problem.Objective.IgnoreIndex;
        long[] labels = new ReadOnlySpan<long>(problem.Labels, (int)problem.Rows).ToArray();
        int[] wrong = [.. Enumerable.Range(0, labels.Length).Where(row => labels[row] != ignored && (ulong)labels[row] >= (ulong)whole)];
        Array.ForEach(wrong, row => labels[row] = ignored);
        fixed (long* valid = labels)
        {
            pass(problem with { Labels = valid }, outputs, gradient);
        }

        foreach (int row in wrong)
        {
            for (long i = 0; i < vocabulary && !gradient.Logits.IsNull; i++)
            {
                ScalarElement.Write(gradient.Logits.Row(row), gradient.Logits.Type, i, double.NaN);
            }
        }

        return wrong;
    }

    private static ElementType Accumulator(ElementType type) => type == ElementType.Float64 ? type : ElementType.Float32;
}
