using System.Runtime.InteropServices;
using Asft.Kernels.Cuda;
using Asft.PtxVm.Execution;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm.Decoding;

/// <summary>
/// Turns a kernel as written into one that is ready to run: operands become places in the register file, constants among them.
/// </summary>
internal sealed partial class Decoder
{
    private const byte Poison = 0xEF;

    private readonly SyntaxKernel _syntax;
    private readonly int[] _places;
    private readonly List<byte> _file = [];
    private readonly Dictionary<(int Bits, ulong Value), int> _constants = [];
    private readonly Dictionary<string, int> _specials = [];
    private readonly List<Register> _reads = [];
    private readonly List<Register> _writes = [];
    private SyntaxInstruction _now;
    private int _localBytes;
    private int _smallestGlobal = 16;
    private int _smallestShared = 16;

    private Decoder(SyntaxKernel syntax)
    {
        _syntax = syntax;
        _now = new SyntaxInstruction("", [], [], 0, "");
        _places = new int[syntax.Registers.Count];
        foreach (var register in syntax.Registers)
        {
            _places[register.Index] = register.Bits == 1 ? -1 : Take(register.Bits);
        }

        foreach (var register in syntax.Registers.Where(register => register.Bits == 1))
        {
            _places[register.Index] = Take(1);
        }
    }

    /// <exception cref="CudaException">An instruction that this machine does not know; the message names it.</exception>
    public static Kernel Decode(SyntaxKernel syntax) => new Decoder(syntax).Run();

    private Kernel Run()
    {
        var shared = PlaceVariables();
        var instructions = new List<Instruction>(_syntax.Instructions.Count + 1);
        var uses = new List<RegisterUses>();
        foreach (var written in _syntax.Instructions)
        {
            _now = written;
            _reads.Clear();
            _writes.Clear();
            instructions.Add(DecodeOne());
            uses.Add(new RegisterUses(written.Guard?.Register, [.. _reads], [.. _writes]));
        }

        // a kernel that runs off its end has returned
        instructions.Add(
            new Instruction { Text = "ret", Line = _now.Line, Class = InstructionClass.Control, Kind = InstructionKind.Exit });
        uses.Add(new RegisterUses(null, [], []));

        var code = instructions.ToArray();
        ControlFlow.SetReconvergence(code);
        WatchRegisters(code, uses);
        return new Kernel
        {
            Name = _syntax.Name,
            Instructions = code,
            ParameterBytes = _syntax.ParameterBytes,
            Parameters = _syntax.Parameters.Count,
            MaxThreads = _syntax.MaxThreads,
            RequiredThreads = _syntax.RequiredThreads,
            SharedBytes = shared,
            LocalBytes = _localBytes,
            Registers = [.. _file],
            Specials = [.. _specials.Select(entry => (entry.Key, entry.Value))],
            SmallestGlobalAccess = _smallestGlobal,
            SmallestSharedAccess = _smallestShared,
        };
    }

    // Gives shared and local variables their places, and returns the size of the shared ones; what the launch sizes begins after them.
    private int PlaceVariables()
    {
        var shared = 0L;
        var local = 0L;
        foreach (var variable in _syntax.Variables.OrderBy(variable => variable.Bytes == 0))
        {
            ref var offset = ref variable.Space == StateSpace.Shared ? ref shared : ref local;
            offset = PtxParser.Align(offset, variable.Align);
            variable.Address = (ulong)offset;
            offset += variable.Bytes;
        }

        _localBytes = (int)PtxParser.Align(local, 16);
        return (int)shared;
    }

    private Instruction DecodeOne()
    {
        try
        {
            return Control() ?? Plain(Operation(out var kind), kind);
        }
        catch (DecodingException error)
        {
            throw new CudaException($"Kernel {_syntax.Name}, PTX line {_now.Line}: {error.Message}: {_now.Text}");
        }
    }

    private Operation Operation(out InstructionClass kind)
    {
        var known = Memory(out kind) ?? WarpWide(out kind) ?? Move(out kind) ?? Compare(out kind) ?? Conversion(out kind)
            ?? Integers(out kind) ?? Floating(out kind);
        return known ?? throw Unknown();
    }

    private Instruction Plain(Operation operation, InstructionClass kind) => new()
    {
        Text = _now.Text,
        Line = _now.Line,
        Class = kind,
        Operation = operation,
        Guard = GuardPlace,
        GuardNegated = _now.Guard?.Negated ?? false,
        PassesInitialization = operation is Copy<uint> or Copy<ulong>,
    };

    private int GuardPlace => _now.Guard is { } guard ? _places[guard.Register!.Index] : -1;

    private static DecodingException Unknown() => new("this machine does not know the instruction");

    private static DecodingException Unknown(string what) => new($"this machine does not know {what}");

    private void OperandCount(int least, int most = 0)
    {
        var count = _now.Operands.Length;
        if (count < least || count > Math.Max(least, most))
        {
            throw new DecodingException($"{count} operands where {least} belong");
        }
    }

    // The only modifiers an instruction may have; anything else would be ignored silently.
    private void Only(params ReadOnlySpan<string> modifiers)
    {
        foreach (var modifier in _now.Modifiers)
        {
            if (!modifiers.Contains(modifier))
            {
                throw Unknown($"'.{modifier}' here");
            }
        }
    }

    private int Take(int bits)
    {
        var bytes = bits switch
        {
            1 => 4,
            64 => 256,
            _ => 128,
        };
        var place = _file.Count;
        CollectionsMarshal.SetCount(_file, place + bytes);
        CollectionsMarshal.AsSpan(_file)[place..].Fill(Poison);
        return place;
    }

    /// <summary>Where an operand of so many bits is read.</summary>
    private int Read(Operand operand, int bits)
    {
        switch (operand.Kind)
        {
            case OperandKind.Register:
                var register = operand.Register!;
                if (register.Bits != Math.Max(bits, bits == 1 ? 1 : 16))
                {
                    throw new DecodingException($"{register.Name} has {register.Bits} bits where {bits} belong");
                }

                _reads.Add(register);
                return _places[register.Index];
            case OperandKind.Integer:
                return Constant(bits, (ulong)operand.Integer);
            case OperandKind.Special:
                return Special(operand.Name, bits);
            case OperandKind.Variable:
                return Constant(bits, AddressOf(operand));
            case OperandKind.Real when bits is 32 or 64:
                return Constant(bits, RealBits(operand, bits));
            default:
                throw new DecodingException($"an operand of kind {operand.Kind} where a value of {bits} bits belongs");
        }
    }

    // 0f... and 0d... are bits, of the type of that width; other numbers are values
    private static ulong RealBits(Operand operand, int bits)
    {
        var isWritten = operand.Name.StartsWith(bits == 32 ? "0f" : "0d", StringComparison.OrdinalIgnoreCase);
        return isWritten && operand.Integer != 0 && !operand.Negated ? (ulong)operand.Integer
            : bits == 32 ? BitConverter.SingleToUInt32Bits((float)operand.Real)
            : BitConverter.DoubleToUInt64Bits(operand.Real);
    }

    /// <summary>Where an operand is read whatever its width; the width comes back.</summary>
    private int ReadAny(Operand operand, int bits, out int width)
    {
        width = operand.Kind == OperandKind.Register ? operand.Register!.Bits : bits <= 32 ? 32 : 64;
        return Read(operand, width);
    }

    private int Read(int index, int bits) => Read(_now.Operands[index], bits);

    /// <summary>Where a result of so many bits goes; a sink gets a place that nobody reads.</summary>
    private int Write(Operand operand, int bits)
    {
        if (operand.Kind == OperandKind.Sink)
        {
            return Take(bits);
        }

        if (operand.Kind != OperandKind.Register)
        {
            throw new DecodingException($"an operand of kind {operand.Kind} where a result belongs");
        }

        var register = operand.Register!;
        if (register.Bits != Math.Max(bits, bits == 1 ? 1 : 16))
        {
            throw new DecodingException($"{register.Name} has {register.Bits} bits where {bits} belong");
        }

        _writes.Add(register);
        return _places[register.Index];
    }

    private int Write(int bits) => Write(_now.Operands[0], bits);

    private int WriteAny(Operand operand, int bits, out int width)
    {
        width = operand.Kind == OperandKind.Register ? operand.Register!.Bits : bits <= 32 ? 32 : 64;
        return Write(operand, width);
    }

    private int Constant(int bits, ulong value)
    {
        value = bits switch
        {
            1 => value == 0 ? 0 : uint.MaxValue,
            64 => value,
            _ => value & ((1UL << bits) - 1),
        };
        if (_constants.TryGetValue((bits, value), out var known))
        {
            return known;
        }

        var place = Take(bits);
        var bytes = CollectionsMarshal.AsSpan(_file)[place..];
        if (bits == 64)
        {
            MemoryMarshal.Cast<byte, ulong>(bytes)[..32].Fill(value);
        }
        else
        {
            MemoryMarshal.Cast<byte, uint>(bytes)[..(bits == 1 ? 1 : 32)].Fill((uint)value);
        }

        return _constants[(bits, value)] = place;
    }

    private int Special(string name, int bits)
    {
        var known = name is "%tid.x" or "%tid.y" or "%tid.z" or "%ntid.x" or "%ntid.y" or "%ntid.z"
            or "%ctaid.x" or "%ctaid.y" or "%ctaid.z" or "%nctaid.x" or "%nctaid.y" or "%nctaid.z"
            or "%laneid" or "%warpid" or "%nwarpid" or "%smid" or "%nsmid" or "%gridid"
            or "%lanemask_eq" or "%lanemask_lt" or "%lanemask_le" or "%lanemask_gt" or "%lanemask_ge"
            or "%total_smem_size" or "%cluster_ctarank" or "%cluster_nctarank";
        if (!known || bits > 32)
        {
            throw Unknown($"the special register {name}{(known ? $" with {bits} bits" : "")}");
        }

        if (!_specials.TryGetValue(name, out var place))
        {
            place = _specials[name] = Take(32);
        }

        return place;
    }

    private static ulong AddressOf(Operand operand) => operand.Variable!.Address + (ulong)operand.Integer;

    // Registers that may be read before anything is written to them are watched at run time; for all others it is certain here.
    private void WatchRegisters(Instruction[] code, List<RegisterUses> uses)
    {
        var watched = ControlFlow.FindUnassigned(code, uses, _syntax.Registers.Count);
        for (var changed = true; changed;)
        {
            changed = false;
            for (var i = 0; i < code.Length; i++)
            {
                // what a move copies may not be there in its target either
                if (code[i].PassesInitialization && uses[i].Reads.Any(register => watched[register.Index]))
                {
                    foreach (var register in uses[i].Writes.Where(register => !watched[register.Index]))
                    {
                        watched[register.Index] = changed = true;
                    }
                }
            }
        }

        var masks = new Dictionary<int, int>();
        int MaskOf(Register register)
        {
            if (!masks.TryGetValue(register.Index, out var place))
            {
                place = masks[register.Index] = Take(1);
                CollectionsMarshal.AsSpan(_file).Slice(place, 4).Clear();
            }

            return place;
        }

        for (var i = 0; i < code.Length; i++)
        {
            code[i].WatchedGuard = uses[i].Guard is { } guard && watched[guard.Index] ? MaskOf(guard) : -1;
            code[i].WatchedReads =
                [.. uses[i].Reads.Where(register => watched[register.Index]).Select(register => (MaskOf(register), register.Name))];
            code[i].WatchedWrites = [.. uses[i].Writes.Where(register => watched[register.Index]).Select(MaskOf)];
            code[i].IsWatched = code[i].WatchedGuard >= 0 || code[i].WatchedReads.Length + code[i].WatchedWrites.Length > 0;
        }
    }
}

/// <summary>An instruction cannot be decoded; becomes a <see cref="CudaException"/> that names it.</summary>
internal sealed class DecodingException : Exception
{
    public DecodingException()
    {
    }

    public DecodingException(string message)
        : base(message)
    {
    }

    public DecodingException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
