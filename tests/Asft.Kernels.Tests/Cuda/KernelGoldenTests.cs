namespace Asft.Kernels.Tests.Cuda;

/// <summary>Every golden case from the shipped PTX.</summary>
[Parallelizable]
public class KernelGoldenTests
{
    [Test]
    public void Golden([ValueSource(typeof(GoldenCase), nameof(GoldenCase.Names))] string name) =>
        GoldenCheck.Run(MachineKernel.Get(), name);
}
