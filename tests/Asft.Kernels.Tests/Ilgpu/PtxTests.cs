using Asft.Kernels.Ilgpu;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>
/// The PTX that ILGPU makes of its programs gives the reference's values on the virtual machine. Where that has a <c>libcuda.so.1</c>, ILGPU runs
/// the whole suite on it by itself.
/// </summary>
public sealed class PtxTests : IDisposable
{
    private readonly IlgpuTokenLossKernel _kernel = PtxProgram.Kernel();

    public void Dispose() => _kernel.Dispose();

    [Test]
    public void AgreesWithTheReference() => RandomCase.General.ForEach(30, test => KernelPromises.LossAndGradientAreExact(_kernel, test), threads: 1);

    [Test]
    public void BackwardAgreesWithTheReference() => RandomCase.General.ForEach(
        15, test => KernelPromises.BackwardIsExact(_kernel, test, test.Seed % 2 == 0), threads: 1);
}
