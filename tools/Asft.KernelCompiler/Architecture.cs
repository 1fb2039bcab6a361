using Asft.Kernels.Cuda;

namespace Asft.KernelCompiler;

/// <summary>
/// What a multiprocessor of a compute capability has: figures of the CUDA C++ programming guide's table of technical specifications.
/// </summary>
/// <param name="Name">As the compiler calls it.</param>
/// <param name="Warps">Most warps at once.</param>
/// <param name="Blocks">Most blocks at once.</param>
/// <param name="SharedBytes">Shared memory, of which each block takes 1 KiB more than it asks for.</param>
internal sealed record Architecture(string Name, int Warps, int Blocks, int SharedBytes)
{
    private const int Registers = 65536;
    private const int RegisterUnit = 256; // registers are given to a warp in this many
    private const int WarpSize = 32;
    private const int ReservedSharedBytes = 1024;

    /// <summary>A100; RTX 30; RTX 40; H100.</summary>
    public static IReadOnlyList<Architecture> All { get; } =
    [
        new("sm_80", 64, 32, 164 * 1024),
        new("sm_86", 48, 16, 100 * 1024),
        new("sm_89", 48, 24, 100 * 1024),
        new("sm_90", 64, 32, 228 * 1024),
    ];

    /// <summary>Those that a module is for: one whose name ends in an architecture is for that and newer ones.</summary>
    /// <param name="module">Name of its file, without the ending.</param>
    /// <returns>The architectures.</returns>
    public static IReadOnlyList<Architecture> Of(string module) =>
        module.EndsWith(KernelChoice.ForClusters, StringComparison.Ordinal) ? [.. All.Where(architecture => architecture.Name == "sm_90")] : All;

    /// <summary>What the PTX of a module is made for.</summary>
    /// <param name="module">Name of its file, without the ending.</param>
    /// <returns>As the compiler calls it.</returns>
    public static string PtxOf(string module) => Of(module)[0].Name.Replace("sm_", "compute_", StringComparison.Ordinal);

    /// <summary>Warps that run at once, over the most that could.</summary>
    /// <param name="threads">Threads of a block.</param>
    /// <param name="registers">Registers of a thread.</param>
    /// <param name="sharedBytes">Shared memory of a block.</param>
    /// <returns>Between 0 and 1.</returns>
    public double Occupancy(int threads, int registers, int sharedBytes)
    {
        int warpsPerBlock = (threads + WarpSize - 1) / WarpSize;
        int registersPerWarp = ((registers * WarpSize) + RegisterUnit - 1) / RegisterUnit * RegisterUnit;
        int byRegisters = Registers / registersPerWarp / warpsPerBlock;
        int byShared = SharedBytes / (sharedBytes + ReservedSharedBytes);
        int blocks = Math.Min(Math.Min(Blocks, Warps / warpsPerBlock), Math.Min(byRegisters, byShared));
        return (double)(blocks * warpsPerBlock) / Warps;
    }
}
