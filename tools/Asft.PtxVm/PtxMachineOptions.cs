using Asft.Kernels.Cuda;

namespace Asft.PtxVm;

/// <summary>
/// What a <see cref="PtxMachine"/> checks while it runs a kernel. Bounds, alignment, masks and barriers are always checked.
/// </summary>
[Flags]
public enum PtxChecks
{
    /// <summary>Nothing that costs time.</summary>
    None = 0,

    /// <summary>Reads of memory and registers that nothing has written.</summary>
    Initialization = 1,

    /// <summary>Unordered uses of the same shared or global memory, within a block and between blocks.</summary>
    Races = 2,

    /// <summary>Everything.</summary>
    All = Initialization | Races,
}

/// <summary>How a <see cref="PtxMachine"/> runs.</summary>
internal sealed record PtxMachineOptions
{
    /// <summary>
    /// The devices it shows: by default one of compute capability 8.0 with the 108 multiprocessors and the shared memory of
    /// an A100, so that launches are shaped as there.
    /// </summary>
    public IReadOnlyList<CudaDevice> Devices { get; init; } = [new CudaDevice(0, "PTX virtual machine", 8, 0, 108, 40L << 30, 163 << 10)];

    /// <summary>Seed of the order of blocks, the interleaving of warps and the errors of approximate instructions.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>What is checked.</summary>
    public PtxChecks Checks { get; init; } = PtxChecks.All;

    /// <summary>Whether global sectors, bank conflicts and instructions are counted into <see cref="LaunchCounts"/>.</summary>
    public bool Counts { get; init; } = true;

    /// <summary>
    /// Whether approximate instructions err as much as their documentation allows; without it they are correctly rounded.
    /// </summary>
    public bool ApproximationErrors { get; init; } = true;

    /// <summary>The most blocks of a cluster on devices that have clusters.</summary>
    public int LargestCluster { get; init; } = 16;

    /// <summary>How many instructions a warp may run in a launch before it counts as an endless loop.</summary>
    public long InstructionBudget { get; init; } = 50_000_000;
}
