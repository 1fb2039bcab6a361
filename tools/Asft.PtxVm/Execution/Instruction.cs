namespace Asft.PtxVm.Execution;

/// <summary>What an instruction does in each lane, with its operands bound.</summary>
internal abstract class Operation
{
    /// <summary>Does it in the lanes of the mask, of which there is at least one.</summary>
    public abstract void Execute(Warp warp, uint mask);
}

internal enum InstructionKind
{
    Plain,
    Branch,
    IndexedBranch,
    Exit,
    Barrier,
    BarrierReduction,
    ClusterArrive,
    ClusterWait,
}

/// <summary>A decoded instruction. Registers are byte offsets in the warp's register file.</summary>
internal sealed class Instruction
{
    public required string Text { get; init; }

    public required int Line { get; init; }

    public required InstructionClass Class { get; init; }

    public InstructionKind Kind { get; init; }

    public Operation? Operation { get; init; }

    /// <summary>The predicate under which lanes take part, or -1.</summary>
    public int Guard { get; init; } = -1;

    public bool GuardNegated { get; init; }

    public int Target { get; init; } = -1;

    public int[] Targets { get; init; } = [];

    /// <summary>Where lanes that part here meet again; -1 if not before the end.</summary>
    public int Reconvergence { get; set; } = -1;

    /// <summary>The register that an indexed branch looks at; barrier number; operands of a reducing barrier.</summary>
    public int First { get; init; }

    public int Second { get; init; } = -1;

    public int Third { get; init; } = -1;

    /// <summary>Number of threads that a barrier names, or -1 for all.</summary>
    public int Fourth { get; init; } = -1;

    public string Reduction { get; init; } = "";

    public bool Negated { get; init; }

    /// <summary>Registers read and written whose initialisation is watched: where their masks lie in the register file.</summary>
    public (int Mask, string Name)[] WatchedReads { get; set; } = [];

    /// <summary>The same for the guard, or -1.</summary>
    public int WatchedGuard { get; set; } = -1;

    public int[] WatchedWrites { get; set; } = [];

    /// <summary>
    /// A plain move passes the state of its source on instead of faulting: compilers move what they know to be unused.
    /// </summary>
    public bool PassesInitialization { get; init; }

    public bool IsWatched { get; set; }
}

/// <summary>A kernel ready to run.</summary>
internal sealed unsafe class Kernel
{
    public required string Name { get; init; }

    public required Instruction[] Instructions { get; init; }

    public required int ParameterBytes { get; init; }

    public required int Parameters { get; init; }

    public required int MaxThreads { get; init; }

    public required int RequiredThreads { get; init; }

    /// <summary>Shared memory of a block.</summary>
    public required int SharedBytes { get; init; }

    /// <summary>Local memory of a thread.</summary>
    public required int LocalBytes { get; init; }

    /// <summary>What a warp's registers are at its start: constants in place, the rest poisoned.</summary>
    public required byte[] Registers { get; init; }

    /// <summary>Special registers that the kernel reads, and where they lie.</summary>
    public required (string Name, int Offset)[] Specials { get; init; }

    public required int SmallestGlobalAccess { get; init; }

    public required int SmallestSharedAccess { get; init; }
}
