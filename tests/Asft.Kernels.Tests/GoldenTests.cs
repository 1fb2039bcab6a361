namespace Asft.Kernels.Tests;

/// <summary>Every golden case on every kernel for host memory.</summary>
public class GoldenTests
{
    [Test]
    public void Golden([ValueSource(typeof(AllKernels), nameof(AllKernels.Names))] string kernel,
        [ValueSource(typeof(GoldenCase), nameof(GoldenCase.Names))] string name) => GoldenCheck.Run(AllKernels.Named(kernel), name);
}
