namespace Asft.Kernels.Tests;

/// <summary>The CPU kernel, at each register width, on finite logits of every size.</summary>
public class FiniteLogitTests
{
    [Test]
    public void EveryFiniteLogitIsExact(
        [Values("sft", "dft", "asft", "reverse", "ratio", "smoothing", "softcap", "scale")] string objective,
        [Values] ElementType type,
        [Values(128, 256, 512)] int bits) =>
        FiniteSweep.AssertExact(AllKernels.Cpu(1, bits), objective, type, 4500, every: 31);
}
