namespace Asft.Bench.Gpu;

/// <summary>What the virtual machine counted of a <see cref="GpuCase"/>, all launches together.</summary>
/// <param name="Case">What was run.</param>
/// <param name="Launches">Kernels launched.</param>
/// <param name="RowThreads">Threads that work on a row, of all its blocks.</param>
/// <param name="WarpInstructions">PTX instructions issued to a warp.</param>
/// <param name="LaneInstructions">PTX instructions, counted once per thread that takes part.</param>
/// <param name="Float32">Of these, arithmetic on float32.</param>
/// <param name="Integer">Of these, integer arithmetic, logic, comparisons and conversions.</param>
/// <param name="Transcendental">Of these, ex2, lg2, rcp and the like.</param>
/// <param name="LoadSectors">32-byte sectors that loads of global memory asked for.</param>
/// <param name="StoreSectors">The same of stores.</param>
/// <param name="LoadUseful">Bytes of those sectors that loads used.</param>
/// <param name="StoreUseful">Bytes of those sectors that stores wrote.</param>
/// <param name="DistinctRead">Distinct sectors read: what must come from DRAM.</param>
/// <param name="DistinctWritten">Distinct sectors written: what must go there.</param>
/// <param name="BankConflicts">Passes through shared memory beyond the fewest possible.</param>
/// <param name="Fault">The first thing that a GPU would not forgive, in words; null when there was none.</param>
public sealed record GpuCounts(
    GpuCase Case,
    long Launches,
    long RowThreads,
    long WarpInstructions,
    long LaneInstructions,
    long Float32,
    long Integer,
    long Transcendental,
    long LoadSectors,
    long StoreSectors,
    long LoadUseful,
    long StoreUseful,
    long DistinctRead,
    long DistinctWritten,
    long BankConflicts,
    string? Fault)
{
    /// <summary>Bytes of a sector, the unit in which a GPU moves memory.</summary>
    public const int SectorBytes = 32;

    /// <summary>Instructions of a thread per logit.</summary>
    public double InstructionsPerElement => LaneInstructions / (double)Case.Elements;

    /// <summary>Transcendental operations per logit.</summary>
    public double TranscendentalPerElement => Transcendental / (double)Case.Elements;

    /// <summary>Bytes per logit between DRAM and the chip when the cache keeps a row until it is done with.</summary>
    public double DramBytesPerElement => (DistinctRead + DistinctWritten) * (double)SectorBytes / Case.Elements;

    /// <summary>Bytes per logit between L2 and the multiprocessors.</summary>
    public double L2BytesPerElement => (LoadSectors + StoreSectors) * (double)SectorBytes / Case.Elements;

    /// <summary>Useful bytes over bytes of the sectors that loads and stores asked for.</summary>
    public double SectorEfficiency => (LoadUseful + StoreUseful) / (double)((LoadSectors + StoreSectors) * SectorBytes);
}
