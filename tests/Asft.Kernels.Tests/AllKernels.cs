using Asft.Kernels.Cpu;
using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests;

/// <summary>Every kernel that runs on host memory, the CPU kernel once for each register width.</summary>
internal static class AllKernels
{
    public static readonly ElementType[] Types = Enum.GetValues<ElementType>();

    public static IEnumerable<string> Names => ["reference", "cpu128", "cpu256", "cpu512"];

    public static ITokenLossKernel Named(string name, int threads = 2) => name switch
    {
        "reference" => new ReferenceTokenLossKernel(),
        _ => Cpu(threads, int.Parse(name[3..], System.Globalization.CultureInfo.InvariantCulture)),
    };

    /// <summary>The CPU kernel with registers of a given width.</summary>
    public static CpuTokenLossKernel Cpu(int threads, int bits) => new(new PoolTeam(() => threads), bits);
}
