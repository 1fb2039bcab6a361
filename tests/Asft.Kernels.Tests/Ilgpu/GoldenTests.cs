namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>Every golden case on every device.</summary>
[TestFixtureSource(typeof(Devices), nameof(Devices.Fixtures))]
public class GoldenTests(string device)
{
    [Test]
    public void Golden([ValueSource(typeof(GoldenCase), nameof(GoldenCase.Names))] string name) =>
        GoldenCheck.Run(Devices.Kernel(device), name);
}
