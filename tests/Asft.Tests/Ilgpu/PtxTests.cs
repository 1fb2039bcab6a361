using Asft.Kernels.Ilgpu;
using Asft.Tests.Kernels;

namespace Asft.Tests.Ilgpu;

/// <summary>The PTX that ILGPU makes of its programs gives the reference's values on the virtual machine.</summary>
public sealed class PtxTests : IDisposable
{
    private readonly IlgpuTokenLossKernel _kernel = PtxProgram.Kernel();

    public void Dispose() => _kernel.Dispose();

    [Test]
    public void Golden([ValueSource(typeof(GoldenCase), nameof(GoldenCase.Names))] string name) => GoldenCheck.Run(_kernel, name);

    [Test]
    public void AgreesWithTheReference() => RandomCase.General.ForEach(100, test => KernelPromises.LossAndGradientAreExact(_kernel, test), threads: 1);

    [Test]
    public void BackwardAgreesWithTheReference() => RandomCase.General.ForEach(
        50, test => KernelPromises.BackwardIsExact(_kernel, test, test.Seed % 2 == 0), threads: 1);
}
