using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What a loss asks of a device besides its kernel and torch's plain operations. Whatever makes the host wait for a device is here, so that it can
/// be counted; and what torch cannot do without contents, so that it can be counted at any size.
/// </summary>
internal interface IDeviceServices
{
    /// <summary>Copies of tensors in host memory, and those that are there already as they are. Waits for the device, once for all of them.</summary>
    /// <param name="tensors">Tensors in host memory and on one device.</param>
    Tensor[] ToHost(params Tensor[] tensors);

    /// <summary>A copy of a tensor in host memory on a device. Does not wait for it.</summary>
    Tensor ToDevice(Tensor onHost, Device device);

    /// <summary>Rows of a tensor, one after the other.</summary>
    /// <param name="from">All rows.</param>
    /// <param name="places">Which, int64, where they are.</param>
    Tensor Rows(Tensor from, Tensor places);

    /// <summary>Whether <see cref="Multiply"/> takes a matrix of 16-bit numbers where it is.</summary>
    bool Multiplies(Tensor matrix);

    /// <summary>The product of two matrices of one 16-bit dtype, with products, sums and result in float32.</summary>
    /// <param name="output">Where it goes, float32.</param>
    /// <param name="left">The one factor.</param>
    /// <param name="right">The other.</param>
    /// <param name="add">Added to what is there, or written over it.</param>
    void Multiply(Tensor output, Tensor left, Tensor right, bool add);

    /// <summary>
    /// Bytes that were free on a tensor's device when they were first asked for: later numbers would tell how much torch keeps, and change from step
    /// to step. Null for host memory.
    /// </summary>
    long? FreeBytes(Tensor tensor);
}

/// <summary>Where <see cref="IDeviceServices"/> come from.</summary>
internal static class DeviceServices
{
    private static IDeviceServices? s_substitute;

    /// <summary>Those of CUDA devices, or what a test has in their place.</summary>
    public static IDeviceServices Current => s_substitute ?? CudaServices.Instance;

    /// <summary>For tests: puts others in their place, until the result is disposed.</summary>
    public static IDisposable Substitute(IDeviceServices services)
    {
        s_substitute = services;
        return new Substitution();
    }

    private sealed class Substitution : IDisposable
    {
        public void Dispose() => s_substitute = null;
    }
}
