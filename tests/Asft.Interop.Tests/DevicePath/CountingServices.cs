using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// A device's services, counted. For tensors on torch's meta device, which have no contents, <paramref name="contents"/> says what the host would read
/// there; tensors in host memory are multiplied as a device's tensor cores would, in float32.
/// </summary>
/// <param name="contents">What the host reads of a tensor.</param>
internal sealed class CountingServices(Func<Tensor, Tensor> contents) : IDeviceServices
{
    /// <summary>How often the host waited.</summary>
    public int Waits { get; private set; }

    /// <summary>How often it sent something.</summary>
    public int Uploads { get; private set; }

    /// <summary>How often rows were selected.</summary>
    public int Selections { get; private set; }

    /// <summary>How many products there were.</summary>
    public int Products { get; private set; }

    /// <summary>What there is of free memory; null for a host's.</summary>
    public long? Free { get; init; }

    public Tensor[] ToHost(params Tensor[] tensors)
    {
        Waits += tensors.Any(static tensor => tensor.device_type != DeviceType.CPU) ? 1 : 0;
        return [.. tensors.Select(tensor => tensor.device_type == DeviceType.CPU ? tensor : contents(tensor))];
    }

    public Tensor ToDevice(Tensor onHost, Device device)
    {
        Uploads++;
        return device.type == DeviceType.CPU ? onHost : empty(onHost.shape, onHost.dtype, device);
    }

    public Tensor Rows(Tensor from, Tensor places)
    {
        Selections++;
        return from.device_type == DeviceType.CPU ? from.index_select(0, places) : empty([places.size(0), .. from.shape[1..]], from.dtype, from.device);
    }

    public bool Multiplies(Tensor matrix) => matrix.dtype is ScalarType.BFloat16 or ScalarType.Float16;

    public void Multiply(Tensor output, Tensor left, Tensor right, bool add)
    {
        Products++;
        Assert.That((output.dtype, left.dtype), Is.EqualTo((ScalarType.Float32, right.dtype)));
        Assert.That(output.shape, Is.EqualTo(new[] { left.size(0), right.size(1) }));
        if (output.device_type == DeviceType.CPU)
        {
            output.addmm_(left.to(ScalarType.Float32), right.to(ScalarType.Float32), add ? 1 : 0, 1);
        }
    }

    public long? FreeBytes(Tensor tensor) => Free;
}
