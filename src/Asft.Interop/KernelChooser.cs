using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Which kernel runs on which device: adding a backend is one line here.</summary>
internal static class KernelChooser
{
    /// <summary>The kernel for a tensor's device.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="argument">What the caller calls it.</param>
    /// <exception cref="NotSupportedException">No kernel runs on that device.</exception>
    public static ITokenLossKernel For(Tensor tensor, string argument) => tensor.device_type switch
    {
        DeviceType.CPU => AsftRuntime.HostKernel,
        _ => throw new NotSupportedException(
            $"{argument} is on {tensor.device}; there is no kernel for that device. Move the tensors to the CPU, for example with {argument}.cpu()."),
    };
}
