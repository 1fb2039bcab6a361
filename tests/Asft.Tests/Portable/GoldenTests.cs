using Asft.Tests.Kernels;
using NUnit.Framework;

namespace Asft.Tests.Portable;

/// <summary>Every golden case on every device.</summary>
public class GoldenTests
{
    [Test]
    public void Golden(
        [ValueSource(typeof(Devices), nameof(Devices.Names))] string device,
        [ValueSource(typeof(GoldenCase), nameof(GoldenCase.Names))] string name) => GoldenCheck.Run(Devices.Kernel(device), name);
}
