using Asft.Kernels.Ilgpu;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>Where there is no NVIDIA GPU, at least that ILGPU makes code for one of every program.</summary>
public class CudaCodeTests
{
    [Test]
    public void EveryProgramCompilesForCuda([Values] ElementType policy)
    {
        CudaArchitecture architecture = CudaArchitecture.SM_75;
        using Context context = Context.Create(builder => builder.EnableAlgorithms());
        using var backend = new PTXBackend(context, new CudaCapabilityContext(architecture), architecture, CudaInstructionSet.ISA_75, null);
        foreach (ProgramKey key in Keys(policy))
        {
            foreach (string method in new[] { "Sums", "Gradient" })
            {
                var entry = EntryPointDescription.FromExplicitlyGroupedKernel(RowProgram.KernelsOf(key).GetMethod(method)!);
                var kernel = (PTXCompiledKernel)backend.Compile(entry, default(KernelSpecialization));
                Assert.That(kernel.PTXAssembly, Does.Contain(".entry"), $"{key}");

                // NVIDIA's fast functions would break the numeric promises.
                Assert.That(kernel.PTXAssembly, Does.Not.Contain("ex2").And.Not.Contain("tanh"), $"{key}");
            }
        }
    }

    private static IEnumerable<ProgramKey> Keys(ElementType policy) =>
        from use in Enum.GetValues<ReferenceUse>()
        from smoothing in new[] { false, true }
        from softcap in new[] { false, true }
        select new ProgramKey(policy, use == ReferenceUse.None ? policy : ElementType.BFloat16, use, smoothing, softcap, smoothing);
}
