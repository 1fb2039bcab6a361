namespace Asft.PtxVm;

/// <summary>What a kernel did that a GPU would not forgive.</summary>
public enum PtxFaultKind
{
    /// <summary>
    /// An access outside every allocation, the block's shared memory, the thread's local memory or the parameter.
    /// </summary>
    OutOfBounds,

    /// <summary>An access whose address is no multiple of its size.</summary>
    Misaligned,

    /// <summary>A write to constant memory.</summary>
    ReadOnly,

    /// <summary>A read of memory that nothing has written.</summary>
    UninitializedMemory,

    /// <summary>A read of a register that nothing has written.</summary>
    UninitializedRegister,

    /// <summary>Two threads of a block used the same memory, at least one wrote, and nothing orders them.</summary>
    Race,

    /// <summary>Two blocks of a launch used the same memory, at least one wrote, and no barrier of a cluster of both lies between.</summary>
    BlockRace,

    /// <summary>A barrier that not all threads of the warp reach together.</summary>
    DivergentBarrier,

    /// <summary>A barrier that not all threads of the block reach.</summary>
    Deadlock,

    /// <summary>A barrier of a cluster that not all its threads reach, or arrivals and waits that do not take turns.</summary>
    ClusterBarrier,

    /// <summary>A use of the shared memory of a block of the cluster that has ended, or that nothing keeps from ending before.</summary>
    BlockLeft,

    /// <summary>A shuffle, vote or warp barrier whose mask names absent threads or leaves out a present one.</summary>
    WarpMask,

    /// <summary>An integer division by zero.</summary>
    DivisionByZero,

    /// <summary>A warp ran more instructions than <see cref="PtxMachineOptions.InstructionBudget"/>.</summary>
    InstructionBudget,

    /// <summary>The kernel executed <c>trap</c>.</summary>
    Trap,
}

/// <summary>A kernel did what a GPU would not forgive. The launch stopped there; memory is as the kernel left it.</summary>
public sealed class PtxFaultException : Exception
{
    /// <summary>A fault without a message.</summary>
    public PtxFaultException()
    {
    }

    /// <summary>A fault with a message.</summary>
    /// <param name="message">What happened.</param>
    public PtxFaultException(string message)
        : base(message)
    {
    }

    /// <summary>A fault that another exception caused.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="innerException">The cause.</param>
    public PtxFaultException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    internal PtxFaultException(
        PtxFaultKind kind, string kernel, int line, string text, (long X, long Y) block, int thread, ulong? address, string what)
        : base($"{kind} in kernel {kernel}, block ({block.X}, {block.Y}), thread {thread}: {what}{At(address)}. PTX line {line}: {text}")
    {
        Kind = kind;
        Kernel = kernel;
        Line = line;
        Text = text;
        Block = block;
        Thread = thread;
        Address = address;
    }

    /// <summary>What kind of fault.</summary>
    public PtxFaultKind Kind { get; }

    /// <summary>The kernel.</summary>
    public string Kernel { get; } = "";

    /// <summary>Line of the PTX, from 1.</summary>
    public int Line { get; }

    /// <summary>The instruction as the PTX writes it.</summary>
    public string Text { get; } = "";

    /// <summary>The block's place in the grid.</summary>
    public (long X, long Y) Block { get; }

    /// <summary>The thread in its block.</summary>
    public int Thread { get; }

    /// <summary>The address of the access, when it is one; an offset for shared and local memory.</summary>
    public ulong? Address { get; }

    private static string At(ulong? address) => address is { } value ? $" [address 0x{value:x}]" : "";
}
