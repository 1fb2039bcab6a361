using System.Globalization;
using System.Text;

namespace Asft.PtxVm;

/// <summary>Classes that instructions are counted in.</summary>
public enum InstructionClass
{
    /// <summary>Arithmetic on float32, float16 and bfloat16.</summary>
    Float32,

    /// <summary>Arithmetic on float64.</summary>
    Float64,

    /// <summary>Integer arithmetic and shifts.</summary>
    Integer,

    /// <summary>Bitwise logic and byte permutation.</summary>
    Logic,

    /// <summary>Conversion between types.</summary>
    Conversion,

    /// <summary>ex2, lg2, rcp, rsqrt, sqrt, sin, cos, tanh, and divisions, which are made of them.</summary>
    Transcendental,

    /// <summary>setp, set, selp, slct.</summary>
    Comparison,

    /// <summary>mov and cvta.</summary>
    Move,

    /// <summary>Reads of the kernel's parameter.</summary>
    LoadParameter,

    /// <summary>Reads of global memory.</summary>
    LoadGlobal,

    /// <summary>Writes of global memory.</summary>
    StoreGlobal,

    /// <summary>Reads of shared memory.</summary>
    LoadShared,

    /// <summary>Writes of shared memory.</summary>
    StoreShared,

    /// <summary>Reads of local memory.</summary>
    LoadLocal,

    /// <summary>Writes of local memory.</summary>
    StoreLocal,

    /// <summary>Reads of constant memory.</summary>
    LoadConstant,

    /// <summary>Atomic operations.</summary>
    Atomic,

    /// <summary>Branches, returns, exits.</summary>
    Control,

    /// <summary>Barriers and fences.</summary>
    Barrier,

    /// <summary>Shuffles, votes, matches and reductions in a warp.</summary>
    Shuffle,
}

/// <summary>What one launch did, or all launches of a kernel together.</summary>
/// <remarks>
/// A lane-instruction is an instruction executed by one thread; threads that its guard switches off do not count. PTX instructions are
/// counted, not machine instructions: an assembler turns some into none (cvta, many moves) and some into several.
/// A sector is 32 aligned bytes of global memory, the unit in which a GPU moves it.
/// </remarks>
public sealed class LaunchCounts
{
    private static readonly int Classes = Enum.GetValues<InstructionClass>().Length;

    private readonly long[] _warps = new long[Classes];
    private readonly long[] _lanes = new long[Classes];

    internal LaunchCounts(string kernel) => Kernel = kernel;

    /// <summary>The kernel.</summary>
    public string Kernel { get; }

    /// <summary>Launches that are counted here.</summary>
    public long Launches { get; internal set; }

    /// <summary>Blocks run.</summary>
    public long Blocks { get; internal set; }

    /// <summary>Threads run.</summary>
    public long Threads { get; internal set; }

    /// <summary>Instructions issued to a warp, whichever of its threads take part.</summary>
    public long WarpInstructions => _warps.Sum();

    /// <summary>Instructions executed, counted once per thread that takes part.</summary>
    public long LaneInstructions => _lanes.Sum();

    /// <summary>ex2, lg2, rcp, rsqrt, sqrt, sin, cos, tanh and divisions, counted once per thread.</summary>
    public long TranscendentalOperations => Lanes(InstructionClass.Transcendental);

    /// <summary>Global loads of warps: one per instruction in which any thread takes part.</summary>
    public long GlobalLoadRequests { get; internal set; }

    /// <summary>Global stores and atomics of warps.</summary>
    public long GlobalStoreRequests { get; internal set; }

    /// <summary>Sectors that global loads asked for: distinct ones of each request.</summary>
    public long GlobalLoadSectors { get; internal set; }

    /// <summary>Sectors that global stores and atomics asked for.</summary>
    public long GlobalStoreSectors { get; internal set; }

    /// <summary>Distinct bytes of each request that global loads used.</summary>
    public long GlobalLoadUsefulBytes { get; internal set; }

    /// <summary>Distinct bytes of each request that global stores and atomics used.</summary>
    public long GlobalStoreUsefulBytes { get; internal set; }

    /// <summary>Bytes that threads read from global memory, each counted as often as a thread reads it.</summary>
    public long GlobalBytesRead { get; internal set; }

    /// <summary>Bytes that threads wrote to global memory.</summary>
    public long GlobalBytesWritten { get; internal set; }

    /// <summary>Distinct sectors read in each launch: what comes from DRAM if a cache keeps everything.</summary>
    public long DistinctSectorsRead { get; internal set; }

    /// <summary>Distinct sectors written in each launch.</summary>
    public long DistinctSectorsWritten { get; internal set; }

    /// <summary>Passes through shared memory beyond the fewest with which the accesses could be served.</summary>
    public long BankConflicts { get; internal set; }

    /// <summary>Branches at which a warp's threads parted.</summary>
    public long DivergentBranches { get; internal set; }

    /// <summary>Useful bytes over bytes of the sectors of global loads, 1 when there are none.</summary>
    public double LoadEfficiency => Efficiency(GlobalLoadUsefulBytes, GlobalLoadSectors);

    /// <summary>Useful bytes over bytes of the sectors of global stores and atomics.</summary>
    public double StoreEfficiency => Efficiency(GlobalStoreUsefulBytes, GlobalStoreSectors);

    /// <summary>Useful bytes over bytes of the sectors of all global accesses.</summary>
    public double SectorEfficiency =>
        Efficiency(GlobalLoadUsefulBytes + GlobalStoreUsefulBytes, GlobalLoadSectors + GlobalStoreSectors);

    /// <summary>Instructions of a class issued to a warp.</summary>
    /// <param name="kind">The class.</param>
    /// <returns>How many.</returns>
    public long Warps(InstructionClass kind) => _warps[(int)kind];

    /// <summary>Instructions of a class executed, counted once per thread.</summary>
    /// <param name="kind">The class.</param>
    /// <returns>How many.</returns>
    public long Lanes(InstructionClass kind) => _lanes[(int)kind];

    /// <summary>The counts that are not 0, one a line.</summary>
    /// <returns>The text.</returns>
    public override string ToString()
    {
        var invariant = CultureInfo.InvariantCulture;
        var text = new StringBuilder();
        text.Append(invariant, $"{Kernel}: {Launches} launches, {Blocks} blocks, {Threads} threads\n");
        text.Append(invariant, $"  instructions: {WarpInstructions} of warps, {LaneInstructions} of threads\n");
        foreach (var kind in Enum.GetValues<InstructionClass>().Where(kind => Warps(kind) > 0))
        {
            text.Append(invariant, $"    {kind}: {Warps(kind)} of warps, {Lanes(kind)} of threads\n");
        }

        text.Append(invariant, $"  global loads: {GlobalLoadRequests} requests, {GlobalLoadSectors} sectors, ");
        text.Append(invariant, $"{LoadEfficiency:P1} of their bytes used, {DistinctSectorsRead} distinct sectors\n");
        text.Append(invariant, $"  global stores: {GlobalStoreRequests} requests, {GlobalStoreSectors} sectors, ");
        text.Append(invariant, $"{StoreEfficiency:P1} of their bytes used, {DistinctSectorsWritten} distinct sectors\n");
        text.Append(invariant, $"  bank conflicts: {BankConflicts}; divergent branches: {DivergentBranches}");
        return text.ToString();
    }

    internal void Count(InstructionClass kind, long warps, long lanes)
    {
        _warps[(int)kind] += warps;
        _lanes[(int)kind] += lanes;
    }

    internal void Add(LaunchCounts other)
    {
        for (var i = 0; i < Classes; i++)
        {
            _warps[i] += other._warps[i];
            _lanes[i] += other._lanes[i];
        }

        Launches += other.Launches;
        Blocks += other.Blocks;
        Threads += other.Threads;
        GlobalLoadRequests += other.GlobalLoadRequests;
        GlobalStoreRequests += other.GlobalStoreRequests;
        GlobalLoadSectors += other.GlobalLoadSectors;
        GlobalStoreSectors += other.GlobalStoreSectors;
        GlobalLoadUsefulBytes += other.GlobalLoadUsefulBytes;
        GlobalStoreUsefulBytes += other.GlobalStoreUsefulBytes;
        GlobalBytesRead += other.GlobalBytesRead;
        GlobalBytesWritten += other.GlobalBytesWritten;
        DistinctSectorsRead += other.DistinctSectorsRead;
        DistinctSectorsWritten += other.DistinctSectorsWritten;
        BankConflicts += other.BankConflicts;
        DivergentBranches += other.DivergentBranches;
    }

    private static double Efficiency(long useful, long sectors) => sectors == 0 ? 1 : useful / (32.0 * sectors);
}
