namespace Asft.PtxVm.Syntax;

/// <summary>A virtual register of a kernel.</summary>
/// <param name="name">Its name, for messages.</param>
/// <param name="bits">1 for a predicate, else 16, 32 or 64.</param>
/// <param name="index">Its number among the kernel's registers.</param>
internal sealed class Register(string name, int bits, int index)
{
    public string Name { get; } = name;

    public int Bits { get; } = bits;

    public int Index { get; } = index;
}

internal enum StateSpace
{
    Generic,
    Global,
    Shared,

    /// <summary>Shared memory of the blocks of a cluster.</summary>
    SharedCluster,
    Constant,

    /// <summary>The parameter of the kernel.</summary>
    Parameter,

    /// <summary>Memory of one thread: <c>.local</c>, and the <c>.param</c> variables with which functions are called.</summary>
    Local,
}

/// <summary>A variable: shared or local memory of a kernel, global or constant memory of a module.</summary>
internal sealed class Variable(string name, StateSpace space, int align, long bytes)
{
    public string Name { get; } = name;

    public StateSpace Space { get; } = space;

    public int Align { get; } = align;

    /// <summary>Its size; 0 for the dynamic shared memory that a launch sizes.</summary>
    public long Bytes { get; } = bytes;

    /// <summary>Contents from the start on, or null; a <see cref="Symbols"/> entry overrides 8 bytes of it.</summary>
    public byte[]? Initial { get; set; }

    /// <summary>Where addresses of other variables stand in the contents.</summary>
    public List<(int Offset, string Symbol, long Addend)> Symbols { get; } = [];

    /// <summary>Whether the code names it; the compiler leaves constants in the PTX that it has put into the code.</summary>
    public bool IsNamed { get; set; }

    /// <summary>
    /// Where it lies: an offset in the block's shared memory, the thread's local memory or the parameter, else an address.
    /// </summary>
    public ulong Address { get; set; }
}

internal enum OperandKind
{
    Register,

    /// <summary>A read-only register such as %tid.x.</summary>
    Special,
    Integer,
    Real,

    /// <summary>The address of a variable.</summary>
    Variable,
    Label,
    Address,
    Vector,

    /// <summary>Two results, d|p.</summary>
    Pair,

    /// <summary>The result that nobody wants, _.</summary>
    Sink,
}

internal sealed class Operand(OperandKind kind)
{
    public OperandKind Kind { get; } = kind;

    public string Name { get; init; } = "";

    public Register? Register { get; init; }

    public Variable? Variable { get; init; }

    /// <summary>A predicate that counts inverted.</summary>
    public bool Negated { get; init; }

    /// <summary>The number; the offset of an address or from a variable.</summary>
    public long Integer { get; init; }

    public double Real { get; init; }

    /// <summary>The parts of a vector or pair; the base of an address, if it has one.</summary>
    public Operand[] Parts { get; init; } = [];
}

/// <summary>One instruction as written.</summary>
internal sealed class SyntaxInstruction(string opcode, string[] modifiers, Operand[] operands, int line, string text)
{
    public string Opcode { get; } = opcode;

    public string[] Modifiers { get; } = modifiers;

    public Operand[] Operands { get; } = operands;

    public int Line { get; } = line;

    public string Text { get; } = text;

    public Operand? Guard { get; init; }

    /// <summary>Index of the instruction a branch goes to.</summary>
    public int Target { get; set; } = -1;

    /// <summary>Where <c>brx.idx</c> may go.</summary>
    public int[]? Targets { get; set; }

    public string Name => Modifiers.Length == 0 ? Opcode : Opcode + "." + string.Join('.', Modifiers);

    public bool Has(string modifier) => Array.IndexOf(Modifiers, modifier) >= 0;
}

/// <summary>A kernel as written, with the functions it calls put in place.</summary>
internal sealed class SyntaxKernel(string name)
{
    public string Name { get; } = name;

    public List<Variable> Parameters { get; } = [];

    public int ParameterBytes { get; set; }

    public int MaxThreads { get; set; } = 1024;

    public int RequiredThreads { get; set; }

    public List<Register> Registers { get; } = [];

    public List<Variable> Variables { get; } = [];

    public List<SyntaxInstruction> Instructions { get; } = [];
}

/// <summary>A module as written.</summary>
internal sealed class SyntaxModule
{
    public List<SyntaxKernel> Kernels { get; } = [];

    /// <summary>Global and constant memory.</summary>
    public List<Variable> Variables { get; } = [];
}
