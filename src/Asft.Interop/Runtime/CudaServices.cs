using System.Collections.Concurrent;
using Asft.Kernels;
using Asft.Kernels.Cuda.Driver;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The services of torch's CUDA devices; of host memory, those that cost nothing.</summary>
internal sealed class CudaServices : IDeviceServices
{
    /// <summary>The only one.</summary>
    public static readonly CudaServices Instance = new();

    private readonly ConcurrentDictionary<int, long> _freeBytes = [];

    /// <summary>
    /// Torch has products of bfloat16 or float16 with float32 sums <i>and result</i>, and TorchSharp no function for them; its compiler of TorchScript
    /// has. 6 is torch's number of float32. Both write to a tensor that is given, which keeps autocasting away from them.
    /// </summary>
    private readonly Once<jit.CompilationUnit> _products = new(static () => jit.compile(
        """
        def write(output: Tensor, left: Tensor, right: Tensor) -> Tensor:
            return torch.mm(left, right, out_dtype=6, out=output)

        def add(output: Tensor, left: Tensor, right: Tensor) -> Tensor:
            return torch.addmm(output, left, right, out_dtype=6, out=output)

        """));

    /// <inheritdoc/>
    public Tensor[] ToHost(params Tensor[] tensors)
    {
        // Copies to page-locked memory run on the device's stream like everything else.
        Tensor[] onHost = [.. tensors.Select(static tensor => IsOnHost(tensor) ? tensor
            : TensorMemory.Empty(TensorMemory.Shape(tensor), tensor.dtype, CPU).pin_memory().copy_(tensor, true))];
        if (tensors.FirstOrDefault(static tensor => !IsOnHost(tensor)) is Tensor onDevice)
        {
            cuda.synchronize(onDevice.device);
        }

        return onHost;
    }

    /// <inheritdoc/>
    public Tensor ToDevice(Tensor onHost, Device device) =>
        device.type == DeviceType.CPU ? onHost : onHost.pin_memory().to(device, non_blocking: true);

    /// <inheritdoc/>
    public Tensor Rows(Tensor from, Tensor places) => from.index_select(0, places);

    /// <inheritdoc/>
    public bool Multiplies(Tensor matrix) =>
        matrix.device_type == DeviceType.CUDA && matrix.dtype is ScalarType.BFloat16 or ScalarType.Float16;

    /// <inheritdoc/>
    public void Multiply(Tensor output, Tensor left, Tensor right, bool add)
    {
        using Tensor same = _products.Value.invoke<Tensor>(add ? "add" : "write", output, left, right);
    }

    /// <inheritdoc/>
    public long? FreeBytes(Tensor tensor) => IsOnHost(tensor)
        ? null
        : _freeBytes.GetOrAdd(tensor.device_index, static ordinal => NativeCudaDriver.Instance.FreeBytes(ordinal));

    private static bool IsOnHost(Tensor tensor) => tensor.device_type == DeviceType.CPU;
}
