namespace Asft.Kernels.Ilgpu;

/// <summary>What <see cref="IDeviceSource.Ilgpu"/> finds where this package is installed.</summary>
internal sealed class IlgpuDevices : IDeviceSource
{
    public IReadOnlyList<(string Id, string Name)> Devices => [.. IlgpuDevice.All.Select(device => (device.Id, device.Name))];

    public ITokenLossKernel? Open(string id) =>
        IlgpuDevice.All.FirstOrDefault(device => device.Id == id) is { } device ? new IlgpuTokenLossKernel(device) : null;
}
