using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Which kernel runs on which device: adding a backend is one line here.</summary>
internal static class KernelChooser
{
    private static Substitution? s_substitution;

    /// <summary>The kernel for a tensor's device.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="argument">What the caller calls it.</param>
    /// <exception cref="NotSupportedException">No kernel runs on that device.</exception>
    public static ITokenLossKernel For(Tensor tensor, string argument) => tensor.device_type switch
    {
        DeviceType type when s_substitution is { } substitution && substitution.Device == type => substitution.Kernel,
        DeviceType.CPU => AsftRuntime.HostKernel,
        DeviceType.CUDA => CudaKernels.For(tensor.device_index, argument),
        _ => throw new NotSupportedException(
            $"{argument} is on {tensor.device}; there is no kernel for that device. Move the tensors to the CPU, for example with {argument}.cpu()."),
    };

    /// <summary>For tests: gives the tensors of one kind of device to another kernel, until the result is disposed.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="device">Which tensors.</param>
    public static IDisposable Substitute(ITokenLossKernel kernel, DeviceType device = DeviceType.CPU) =>
        s_substitution = new Substitution(kernel, device);

    private sealed record Substitution(ITokenLossKernel Kernel, DeviceType Device) : IDisposable
    {
        public void Dispose() => s_substitution = null;
    }
}
