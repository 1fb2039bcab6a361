namespace Asft.Bench.Gpu;

/// <summary>Published peak figures of a GPU.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Architecture">Its architecture.</param>
/// <param name="Multiprocessors">Multiprocessors.</param>
/// <param name="ClockGHz">Boost clock.</param>
/// <param name="DramGBs">Bandwidth of its memory, GB/s.</param>
/// <param name="L2GBs">Bandwidth of its L2 cache, GB/s.</param>
/// <param name="L2MB">Size of its L2 cache, MB.</param>
/// <param name="Float32PerClock">float32 operations that a multiprocessor starts in a clock.</param>
/// <param name="Sources">Where the figures are from.</param>
public sealed record GpuDevice(
    string Name, GpuArchitecture Architecture, int Multiprocessors, double ClockGHz, double DramGBs, double L2GBs, double L2MB, int Float32PerClock, string Sources)
{
    /// <summary>Warp instructions that a multiprocessor starts in a clock: one in each of its four partitions.</summary>
    public const int IssuePerClock = 4;

    /// <summary>Integer, logic, comparison and 32-bit conversion results of a multiprocessor per clock.</summary>
    public const int IntegerPerClock = 64;

    /// <summary>ex2, lg2, rcp and rsqrt results of a multiprocessor per clock.</summary>
    public const int SpecialPerClock = 16;

    /// <summary>Threads that a multiprocessor runs at once: with the 64 registers that the kernels take, half of its occupancy or more.</summary>
    public const int ThreadsPerMultiprocessor = 1024;

    /// <summary>Whether a case was counted for this GPU's architecture, or for all.</summary>
    /// <param name="counted">The case.</param>
    /// <returns>True where it was.</returns>
    public bool Runs(GpuCase counted) => !counted.Gradient || counted.Architecture == Architecture;

    /// <summary>Throughputs per clock are of the table of arithmetic instructions in the CUDA C++ Programming Guide.</summary>
    public static IReadOnlyList<GpuDevice> All { get; } =
    [
        new(
            "A100 SXM 80 GB",
            GpuArchitecture.Sm80,
            108,
            1.410,
            2039,
            5120 * 1.410,
            40,
            64,
            "NVIDIA A100 data sheet (memory, 80 GB SXM) and A100 architecture white paper (multiprocessors, clock, L2 of 40 MB with 5,120 bytes per clock)"),
        new(
            "H100 SXM",
            GpuArchitecture.Sm90,
            132,
            1.980,
            3350,
            5500,
            50,
            128,
            "NVIDIA H100 data sheet (memory, float32 peak, from which the clock follows) and H100 architecture white paper (multiprocessors, L2 of 50 MB); "
            + "L2 bandwidth is not published: a careful estimate after public micro-benchmarks of H100 PCIe"),
        new(
            "RTX 4090",
            GpuArchitecture.Sm89,
            128,
            2.520,
            1008,
            5000,
            72,
            128,
            "NVIDIA Ada architecture white paper (multiprocessors, clock, memory, L2 of 72 MB); L2 bandwidth is not published: an estimate after public micro-benchmarks"),
    ];
}
