using Asft.PtxVm;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>
/// The CUDA kernels on the PTX virtual machine, for tensors in host memory that are treated as a device's: each call is shown exactly the
/// memory of the tensors that it is about, so that whatever else a kernel touches is a fault.
/// </summary>
internal sealed unsafe class MachineDevice(PtxMachine machine, ITokenLossKernel kernel) : ITokenLossKernel
{
    public string Name => kernel.Name;

    public bool IsAsynchronous => kernel.IsAsynchronous;

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        using var shown = new ShownMemory(machine);
        shown.Problem(problem, readsReference: !problem.Reference.IsNull && (problem.Objective.NeedsReference || outputs.Kl != null));
        shown.Outputs(problem, outputs, isSaved: false);
        ShowGradient(shown, problem, gradient);
        kernel.Forward(problem, outputs, gradient);
    }

    public void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default)
    {
        using var shown = new ShownMemory(machine);
        shown.Problem(problem, readsReference: !problem.Reference.IsNull);
        shown.States(problem, states, "states", isSaved: false);
        kernel.Summarize(problem, states, gradient);
    }

    public void Merge(in TokenProblem problem, RowState* states, RowState* others)
    {
        using var shown = new ShownMemory(machine);
        shown.States(problem, states, "states", isSaved: true);
        shown.States(problem, others, "others", isSaved: true);
        kernel.Merge(problem, states, others);
    }

    public void Finish(in TokenProblem problem, in TokenOutputs outputs)
    {
        using var shown = new ShownMemory(machine);
        shown.Rows(problem);
        shown.States(problem, outputs.State, "states", isSaved: true);
        shown.Outputs(problem, outputs with { State = null }, isSaved: false);
        kernel.Finish(problem, outputs);
    }

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        using ShownMemory shown = ShowBackward(problem, saved, gradient);
        kernel.Backward(problem, saved, gradient);
    }

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        using ShownMemory shown = ShowBackward(problem, saved, gradient);
        shown.Array(unlessOne, ShownMemory.RealBytes(problem.Logits.Type), "unlessOne", true);
        kernel.BackwardUnlessOne(problem, saved, gradient, unlessOne);
    }

    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        using var shown = new ShownMemory(machine);
        shown.Rows(problem);
        shown.Array(gradient.Logits.RowOffsets, problem.Rows * sizeof(long), "gradient offsets", true);
        shown.Gradient(problem with { Logits = new LogitMatrix(null, gradient.Logits.Type, 0L) }, gradient, isFinished: true);
        kernel.Rescale(problem, gradient);
    }

    public void Count(in TokenCounting count)
    {
        using var shown = new ShownMemory(machine);
        shown.Array(count.Labels, count.Rows * sizeof(long), "labels", true);
        shown.Array(count.Denominator, sizeof(double), "denominator", true);
        shown.Array(count.Counted, sizeof(long), "counted", false);
        shown.Array(count.Factor, count.Type.SizeInBytes(), "factor", false);
        kernel.Count(count);
    }

    public void Total(void* losses, long rows, ElementType type, void* factor, void* total)
    {
        using var shown = new ShownMemory(machine);
        shown.Array(losses, rows * type.SizeInBytes(), "losses", true);
        shown.Array(factor, type.SizeInBytes(), "factor", true);
        shown.Array(total, type.SizeInBytes(), "total", false);
        kernel.Total(losses, rows, type, factor, total);
    }

    public void ThrowIfFaulted() => kernel.ThrowIfFaulted();

    private ShownMemory ShowBackward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        var shown = new ShownMemory(machine);
        shown.Problem(problem, readsReference: problem.Objective.KlWeight > 0);
        shown.Array(saved.Weight, problem.Rows * ShownMemory.RealBytes(problem.Logits.Type), "weight", true);
        shown.States(problem, saved.State, "states", isSaved: true);
        ShowGradient(shown, problem, gradient);
        return shown;
    }

    private static void ShowGradient(ShownMemory shown, in TokenProblem problem, in TokenGradient gradient)
    {
        shown.Gradient(problem, gradient, isFinished: false);
        shown.Array(gradient.Logits.RowOffsets, problem.Rows * sizeof(long), "gradient offsets", true);
    }
}
