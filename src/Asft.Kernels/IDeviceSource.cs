namespace Asft.Kernels;

/// <summary>
/// The devices of a package that is there only where somebody wants it: it is found by its name, so that installing it is all there is to do.
/// </summary>
internal interface IDeviceSource
{
    /// <summary>The devices of the package Asft.Ilgpu; null where it is not installed.</summary>
    static IDeviceSource? Ilgpu { get; } =
        Type.GetType("Asft.Kernels.Ilgpu.IlgpuDevices, Asft.Ilgpu") is { } type ? (IDeviceSource?)Activator.CreateInstance(type) : null;

    /// <summary>Every device there is: what it is called in <c>ASFT_DEVICE</c>, and what it is, for people.</summary>
    IReadOnlyList<(string Id, string Name)> Devices { get; }

    /// <summary>The kernel on a device, which is opened for it.</summary>
    /// <param name="id">What the device is called.</param>
    /// <returns>The kernel; null if there is no such device.</returns>
    ITokenLossKernel? Open(string id);
}
