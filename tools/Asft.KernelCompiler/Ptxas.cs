using System.Collections.Concurrent;

namespace Asft.KernelCompiler;

/// <summary>
/// A later assembler than NVRTC's own: NVIDIA's ptxas of CUDA 12.4. What it makes of the PTX that is shipped is nearer to what drivers make of
/// it today.
/// </summary>
internal static class Ptxas
{
    /// <summary>Assembles every module for every architecture.</summary>
    /// <param name="ptx">The texts, by module.</param>
    /// <returns>What all kernels take, and the loops of their machine code, each on all architectures, in a fixed order.</returns>
    public static (IReadOnlyList<KernelUse> Uses, IReadOnlyList<KernelLoops> Loops) Assemble(IReadOnlyDictionary<string, string> ptx)
    {
        var uses = new ConcurrentBag<KernelUse>();
        var loops = new ConcurrentBag<KernelLoops>();
        string folder = Directory.CreateTempSubdirectory("asft-ptxas").FullName;
        try
        {
            KernelBuild.InParallel(ptx.SelectMany(module => Architecture.Of(module.Key).Select(architecture => (module.Key, module.Value, architecture))), one =>
            {
                string file = Path.Combine(folder, $"{one.Key}.{one.architecture.Name}");
                File.WriteAllText($"{file}.ptx", one.Value);
                string log = CudaTool.Run("ptxas", "-v", $"-arch={one.architecture.Name}", $"{file}.ptx", "-o", $"{file}.cubin");
                foreach (KernelUse use in KernelUse.Parse(one.Key, one.architecture, log, KernelUse.ThreadsOf(one.Value)))
                {
                    uses.Add(use);
                }

                foreach (KernelLoops kernel in KernelLoops.Of(one.Key, one.architecture, CudaTool.Run("nvdisasm", "-c", $"{file}.cubin")))
                {
                    loops.Add(kernel);
                }
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        return (KernelUse.InOrder(uses), KernelLoops.InOrder(loops));
    }
}
