using Asft.Kernels.Ilgpu;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>Where there is no NVIDIA GPU, at least that ILGPU makes code for one of every program.</summary>
public class CudaCodeTests
{
    [Test]
    public void EveryProgramCompilesForCuda([Values] ElementType policy)
    {
        foreach (ProgramKey key in Keys(policy))
        {
            foreach (string method in new[] { "Sums", "Gradient" })
            {
                string ptx = PtxProgram.Compile(key, method);
                Assert.That(ptx, Does.Contain(".entry"), $"{key}");

                // NVIDIA's fast functions would break the numeric promises.
                Assert.That(ptx, Does.Not.Contain("ex2").And.Not.Contain("tanh"), $"{key}");
            }
        }
    }

    private static IEnumerable<ProgramKey> Keys(ElementType policy) =>
        from use in Enum.GetValues<ReferenceUse>()
        from smoothing in new[] { false, true }
        from softcap in new[] { false, true }
        select new ProgramKey(policy, use == ReferenceUse.None ? policy : ElementType.BFloat16, use, smoothing, softcap, smoothing);
}
