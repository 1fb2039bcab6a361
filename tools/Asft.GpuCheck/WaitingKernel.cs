using Asft.Kernels;

namespace Asft.GpuCheck;

/// <summary>A device's kernel for a caller that looks at the results at once: each call waits, and a fault is thrown where it happened.</summary>
/// <param name="kernel">The kernel.</param>
/// <param name="device">Its device.</param>
internal sealed unsafe class WaitingKernel(ITokenLossKernel kernel, GpuDevice device) : ITokenLossKernel
{
    public string Name => kernel.Name;

    public bool IsAsynchronous => false;

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        kernel.Forward(problem, outputs, gradient);
        Wait();
    }

    public void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default)
    {
        kernel.Summarize(problem, states, gradient);
        Wait();
    }

    public void Merge(in TokenProblem problem, RowState* states, RowState* others)
    {
        kernel.Merge(problem, states, others);
        Wait();
    }

    public void Finish(in TokenProblem problem, in TokenOutputs outputs)
    {
        kernel.Finish(problem, outputs);
        Wait();
    }

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        kernel.Backward(problem, saved, gradient);
        Wait();
    }

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        kernel.BackwardUnlessOne(problem, saved, gradient, unlessOne);
        Wait();
    }

    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        kernel.Rescale(problem, gradient);
        Wait();
    }

    public void Count(in TokenCounting count)
    {
        kernel.Count(count);
        Wait();
    }

    public void Total(void* losses, long rows, ElementType type, void* factor, void* total)
    {
        kernel.Total(losses, rows, type, factor, total);
        Wait();
    }

    public void ThrowIfFaulted() => kernel.ThrowIfFaulted();

    private void Wait()
    {
        device.Synchronize();
        kernel.ThrowIfFaulted();
    }
}
