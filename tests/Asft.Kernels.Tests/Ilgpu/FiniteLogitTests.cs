namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>Finite logits of every size.</summary>
[TestFixtureSource(typeof(Devices), nameof(Devices.Names))]
public class FiniteLogitTests(string device)
{
    [Test]
    public void EveryFiniteLogitIsExact(
        [Values("sft", "asft", "reverse", "ratio", "smoothing", "softcap", "scale")] string objective, [Values] ElementType type) =>
        FiniteSweep.AssertExact(Devices.Kernel(device), objective, type, 300, every: 11);
}
