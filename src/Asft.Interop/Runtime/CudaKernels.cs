using System.Collections.Concurrent;
using Asft.Kernels;
using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;

namespace Asft.Interop;

/// <summary>The kernels of torch's CUDA devices, one for each device, made when its first loss is computed.</summary>
/// <remarks>
/// They launch on stream 0, the legacy default stream of the device's primary context. That is torch's current stream: TorchSharp 0.107
/// has no way to change it, neither in .NET nor in its native library.
/// </remarks>
internal static class CudaKernels
{
    // One by one, as two threads must not both allocate what a kernel keeps on its device.
    private static readonly ConcurrentDictionary<int, Once<CudaTokenLossKernel>> s_kernels = [];

    /// <summary>The kernel of a device.</summary>
    /// <param name="ordinal">Ordinal of the device.</param>
    /// <param name="argument">What the caller calls the tensor that is there.</param>
    /// <exception cref="NotSupportedException">The device is too old, or the driver cannot be reached.</exception>
    public static CudaTokenLossKernel For(int ordinal, string argument)
    {
        NativeCudaDriver driver = NativeCudaDriver.Instance;
        Check(driver, ordinal, argument);
        return s_kernels.GetOrAdd(ordinal, _ => new Once<CudaTokenLossKernel>(() => new CudaTokenLossKernel(driver, ordinal))).Value;
    }

    /// <summary>Checks that a device can run the kernels.</summary>
    /// <exception cref="NotSupportedException">It cannot; the message says why and what else to do.</exception>
    internal static void Check(ICudaDriver driver, int ordinal, string argument)
    {
        CudaDevice device = driver.Devices.FirstOrDefault(device => device.Ordinal == ordinal) ?? throw new NotSupportedException(
            Invariant($"{argument} is on cuda:{ordinal}, which is unknown to the driver that the kernels need: ")
            + $"{(driver as NativeCudaDriver)?.Unavailable ?? $"{driver.Name} has {driver.Devices.Count} devices"}.");
        if (!CudaTokenLossKernel.Supports(device))
        {
            throw new NotSupportedException(
                $"{argument} is on {Describe(device)}; the CUDA kernels need compute capability 8.0 (Ampere) or more. "
                + $"Use another GPU, or move the tensors to the CPU, for example with {argument}.cpu().");
        }
    }

    /// <summary>What there is for CUDA tensors: a line for each device, and one for each dtype that the device's kernel takes.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="torchHasCuda">Whether torch can make such tensors at all.</param>
    internal static string Describe(ICudaDriver driver, bool torchHasCuda)
    {
        if (driver.Devices.Count == 0)
        {
            return $"CUDA tensors: no kernel, as {(driver as NativeCudaDriver)?.Unavailable ?? "there is no device"}.";
        }

        IEnumerable<string> lines = driver.Devices.SelectMany(device => Lines(driver, device));
        return string.Join(Environment.NewLine, torchHasCuda
            ? lines
            : lines.Append("Torch makes no CUDA tensors here: that takes the package TorchSharp-cuda-linux or -windows instead of TorchSharp-cpu."));
    }

    private static IEnumerable<string> Lines(ICudaDriver driver, CudaDevice device)
    {
        string tensors = $"CUDA tensors: {Describe(device)}, {driver.Name}";
        if (!CudaTokenLossKernel.Supports(device))
        {
            return [$"{tensors}: no kernel, as it has less than compute capability 8.0."];
        }

        return s_kernels.TryGetValue(device.Ordinal, out Once<CudaTokenLossKernel>? kernel) && kernel.IsMade
            ? [$"{tensors}:", .. kernel.Value.Describe().Select(line => $"  {line}")]
            : [$"{tensors}: CUDA kernels for float32, bfloat16, float16 and float64; no loss was computed on it yet."];
    }

    private static string Describe(CudaDevice device) =>
        Invariant($"cuda:{device.Ordinal} ({device.Name}, compute capability {device.Major}.{device.Minor})");
}
