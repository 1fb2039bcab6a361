using Asft.Kernels;
using Asft.PtxVm;
using Asft.Tests.Cuda;

namespace Asft.Tests.DevicePath;

/// <summary>
/// The CUDA kernels on the PTX virtual machine, for tensors in host memory that are treated as a device's: each call is shown exactly the
/// memory of the tensors that it is about, so that whatever else a kernel touches is a fault.
/// </summary>
internal sealed unsafe class MachineDevice : IDeviceTokenLossKernel
{
    /// <summary>As an A100 has them, so that rows are divided among blocks as there.</summary>
    private const int Multiprocessors = 108;

    private readonly MachineKernel _machine = MachineKernel.Get(Multiprocessors);

    public string Name => Kernel.Name;

    private IDeviceTokenLossKernel Kernel => _machine.Device;

    private PtxMachine Machine => _machine.Machine;

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        using var shown = new ShownMemory(Machine);
        shown.Problem(problem, readsReference: problem.Objective.NeedsReference || outputs.Kl != null);
        shown.Outputs(problem, outputs, isSaved: false);
        ShowGradient(shown, problem, gradient);
        Kernel.Forward(problem, outputs, gradient);
    }

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        using ShownMemory shown = ShowBackward(problem, saved, gradient);
        Kernel.Backward(problem, saved, gradient);
    }

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        using ShownMemory shown = ShowBackward(problem, saved, gradient);
        shown.Array(unlessOne, ShownMemory.RealBytes(problem.Logits.Type), "unlessOne", true);
        Kernel.BackwardUnlessOne(problem, saved, gradient, unlessOne);
    }

    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        using var shown = new ShownMemory(Machine);
        shown.Array(problem.Labels, problem.Rows * sizeof(long), "labels", true);
        shown.Array(gradient.Logits.RowOffsets, problem.Rows * sizeof(long), "gradient offsets", true);
        shown.Gradient(problem with { Logits = new LogitMatrix(null, gradient.Logits.Type, 0L) }, gradient, isFinished: true);
        Kernel.Rescale(problem, gradient);
    }

    public void Count(in TokenCounting count)
    {
        using var shown = new ShownMemory(Machine);
        shown.Array(count.Labels, count.Rows * sizeof(long), "labels", true);
        shown.Array(count.Denominator, sizeof(double), "denominator", true);
        shown.Array(count.Counted, sizeof(long), "counted", false);
        shown.Array(count.Factor, count.Type.SizeInBytes(), "factor", false);
        Kernel.Count(count);
    }

    public void Total(void* losses, long rows, ElementType type, void* factor, void* total)
    {
        using var shown = new ShownMemory(Machine);
        shown.Array(losses, rows * type.SizeInBytes(), "losses", true);
        shown.Array(factor, type.SizeInBytes(), "factor", true);
        shown.Array(total, type.SizeInBytes(), "total", false);
        Kernel.Total(losses, rows, type, factor, total);
    }

    public void ThrowIfFaulted() => Kernel.ThrowIfFaulted();

    private ShownMemory ShowBackward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        var shown = new ShownMemory(Machine);
        shown.Problem(problem, readsReference: problem.Objective.KlWeight > 0);
        shown.Outputs(problem, saved, isSaved: true);
        ShowGradient(shown, problem, gradient);
        return shown;
    }

    private static void ShowGradient(ShownMemory shown, in TokenProblem problem, in TokenGradient gradient)
    {
        shown.Gradient(problem, gradient, isFinished: false);
        shown.Array(gradient.Logits.RowOffsets, problem.Rows * sizeof(long), "gradient offsets", true);
    }
}
