using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// A kernel, and those steps around it that are done in one way where the host can read the tensors, and in another where it would
/// have to wait for a device to do so. Everything else about a loss is the same on all devices.
/// </summary>
internal abstract class LossDevice
{
    /// <summary>The kernel.</summary>
    public abstract ITokenLossKernel Kernel { get; }

    /// <summary>The device that a kernel computes on.</summary>
    public static LossDevice Of(ITokenLossKernel kernel) => kernel is IDeviceTokenLossKernel onDevice
        ? AcceleratorLossDevice.Of(onDevice)
        : new HostLossDevice(kernel);

    /// <summary>Counts the tokens and finds what makes a sum over them the reduction that is asked for.</summary>
    /// <param name="labels">The labels as <see cref="RowLabels"/> makes them.</param>
    /// <param name="arguments">The arguments of the loss.</param>
    public abstract (TokenScale Scale, TokenCount Count) Count(Tensor labels, LossArguments arguments);

    /// <summary>The scaled sum of token losses, in an order that does not depend on threads, as a tensor without dimensions.</summary>
    public abstract Tensor Total(Tensor losses, TokenScale scale);

    /// <summary>Computes a gradient from the saved results; see <see cref="ITokenLossKernel.Backward"/>.</summary>
    public abstract void Backward(TokenProblem problem, TokenOutputs saved, TokenGradient gradient);

    /// <summary>Computes a loss once more in a backward pass, for its gradient alone; see <see cref="ITokenLossKernel.Forward"/>.</summary>
    public abstract void Recompute(TokenProblem problem, TokenGradient gradient);

    /// <summary>Multiplies a gradient that was computed along with the loss by the upstream gradient, a scalar.</summary>
    /// <param name="graph">The loss.</param>
    /// <param name="context">The context that has saved the tensors of <see cref="SavedTensors"/>; asked for them, it fails if the logits were changed.</param>
    /// <param name="gradient">The gradient, overwritten.</param>
    /// <param name="labels">The labels; ignored rows stay 0 even if the upstream gradient is infinite.</param>
    /// <param name="upstream">The upstream gradient.</param>
    /// <returns>
    /// False, and nothing was done, where the product would be rounded a second time and the logits are still there to compute it from.
    /// </returns>
    public abstract bool TryMultiply(LossGraph graph, AutogradContext context, Tensor gradient, Tensor labels, Tensor upstream);
}
