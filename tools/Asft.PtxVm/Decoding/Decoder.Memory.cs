using Asft.PtxVm.Execution;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm.Decoding;

/// <summary>Loads, stores, atomics, fences.</summary>
internal sealed partial class Decoder
{
    private Operation? Memory(out InstructionClass kind)
    {
        kind = InstructionClass.Barrier;
        switch (_now.Opcode)
        {
            case "ld":
                return DecodeLoad(out kind);
            case "st":
                return DecodeStore(out kind);
            case "atom" or "red":
                kind = InstructionClass.Atomic;
                return DecodeAtomic();
            case "membar":
                Only("cta", "gl", "sys");
                return new Nothing();
            case "fence":
                Only("sc", "acq_rel", "cta", "gpu", "sys");
                return new Nothing();
            case "trap":
                kind = InstructionClass.Control;
                return new Trap();
            case "prefetch":
                kind = InstructionClass.Control;
                return new Nothing();
            case "createpolicy":
                kind = InstructionClass.Move;
                return new Copy<ulong>(Write(64), Constant(64, 0)); // what a policy holds is nobody's business
            default:
                return null;
        }
    }

    private Operation DecodeLoad(out InstructionClass kind)
    {
        var (space, vector, type, atomic) = AccessModifiers();
        if (_now.Has("const"))
        {
            space = StateSpace.Constant;
        }

        OperandCount(2, 3);
        var element = Bytes(type);
        var signed = type[0] == 's';
        var targets = Elements(_now.Operands[0], vector);
        var width = 0;
        var results = targets.Select(target => WriteAny(target, element * 8, out width)).ToArray();
        CheckWidth(element, width);
        var address = _now.Operands[1];
        if (address.Parts is [{ Kind: OperandKind.Variable, Variable.Space: StateSpace.Parameter }])
        {
            kind = InstructionClass.LoadParameter;
            var offset = (long)address.Parts[0].Variable!.Address + address.Parts[0].Integer + address.Integer;
            if (offset < 0 || offset + element * vector > _syntax.ParameterBytes || offset % (element * vector) != 0)
            {
                throw new DecodingException(
                    $"{element * vector} bytes at {offset} of a parameter of {_syntax.ParameterBytes} bytes");
            }

            return new LoadParameter((int)offset, element, signed, results, width == 64, width == 16);
        }

        if (_now.Has("param") && address.Parts.Length > 0 && address.Parts[0].Kind != OperandKind.Variable)
        {
            space = StateSpace.Parameter; // the parameters of calls are only ever named
        }

        var place = DecodePlace(address, space, element * vector);
        kind = place.Space switch
        {
            StateSpace.Parameter => InstructionClass.LoadParameter,
            StateSpace.Shared or StateSpace.SharedCluster => InstructionClass.LoadShared,
            StateSpace.Local => InstructionClass.LoadLocal,
            StateSpace.Constant => InstructionClass.LoadConstant,
            _ => InstructionClass.LoadGlobal,
        };
        return new Load(place, element, signed, atomic, results, width == 64, width == 16);
    }

    private Store DecodeStore(out InstructionClass kind)
    {
        var (space, vector, type, atomic) = AccessModifiers();
        OperandCount(2, 3);
        var element = Bytes(type);
        var width = 0;
        var values = Elements(_now.Operands[1], vector).Select(Value).ToArray();
        int Value(Operand value) => value.Kind == OperandKind.Real
            ? Read(value, width = element * 8)
            : ReadAny(value, element * 8, out width);
        CheckWidth(element, width);
        var address = _now.Operands[0];
        var isNamed = address.Parts is [{ Kind: OperandKind.Variable }];
        var isParameter = isNamed ? address.Parts[0].Variable!.Space == StateSpace.Parameter : _now.Has("param");
        if (space == StateSpace.Constant || isParameter)
        {
            throw new DecodingException("a store to memory that is read-only");
        }

        var place = DecodePlace(address, space, element * vector);
        kind = place.Space switch
        {
            StateSpace.Shared or StateSpace.SharedCluster => InstructionClass.StoreShared,
            StateSpace.Local => InstructionClass.StoreLocal,
            _ => InstructionClass.StoreGlobal,
        };
        return new Store(place, element, atomic, values, width == 64);
    }

    private static void CheckWidth(int element, int width)
    {
        if (width < element * 8 && !(element == 1 && width == 16))
        {
            throw new DecodingException($"an element of {element} bytes in a register of {width} bits");
        }
    }

    private static Operand[] Elements(Operand operand, int vector)
    {
        var elements = operand.Kind == OperandKind.Vector ? operand.Parts : [operand];
        return elements.Length == vector
            ? elements
            : throw new DecodingException($"{elements.Length} registers where {vector} belong");
    }

    private (StateSpace Space, int Vector, string Type, bool Atomic) AccessModifiers()
    {
        var space = StateSpace.Generic;
        var vector = 1;
        var type = "";
        var atomic = false;
        foreach (var modifier in _now.Modifiers)
        {
            switch (modifier)
            {
                case "global":
                    space = StateSpace.Global;
                    break;
                case "shared" or "shared::cta":
                    space = StateSpace.Shared;
                    break;
                case "shared::cluster":
                    space = StateSpace.SharedCluster;
                    break;
                case "local":
                    space = StateSpace.Local;
                    break;
                case "param":
                    space = StateSpace.Local; // where the parameters of calls are; a load sees for itself if it means the kernel's
                    break;
                case "const":
                    space = StateSpace.Constant;
                    break;
                case "v2":
                    vector = 2;
                    break;
                case "v4":
                    vector = 4;
                    break;
                case "volatile" or "relaxed" or "acquire" or "release":
                    atomic = true;
                    break;
                case "weak" or "ca" or "cg" or "cs" or "lu" or "cv" or "wb" or "wt" or "nc" or "cta" or "gpu" or "sys":
                    break;
                case var hint when hint.StartsWith("L1::", StringComparison.Ordinal)
                    || hint.StartsWith("L2::", StringComparison.Ordinal):
                    break;
                default:
                    type = Bytes(modifier) > 0 ? modifier : throw Unknown($"'.{modifier}' here");
                    break;
            }
        }

        return (space, vector, type, atomic);
    }

    private static int Bytes(string type) => type switch
    {
        "b8" or "u8" or "s8" => 1,
        "b16" or "u16" or "s16" or "f16" or "bf16" => 2,
        "b32" or "u32" or "s32" or "f32" or "f16x2" or "bf16x2" => 4,
        "b64" or "u64" or "s64" or "f64" => 8,
        _ => throw Unknown($"the type '.{type}'"),
    };

    private Place DecodePlace(Operand address, StateSpace space, int bytes)
    {
        if (address.Kind != OperandKind.Address)
        {
            throw new DecodingException("no address in brackets");
        }

        var (register, wide, offset) = (-1, false, (ulong)address.Integer);
        if (address.Parts.Length > 0)
        {
            var start = address.Parts[0];
            if (start.Kind == OperandKind.Variable)
            {
                offset += AddressOf(start);
                if (space == StateSpace.Generic)
                {
                    space = start.Variable!.Space; // a variable by name says where it is
                }
            }
            else
            {
                register = ReadAny(start, 64, out var width);
                wide = width == 64;
            }
        }

        if (space is not (StateSpace.Local or StateSpace.Parameter))
        {
            ref var smallest = ref space is StateSpace.Shared or StateSpace.SharedCluster ? ref _smallestShared : ref _smallestGlobal;
            smallest = Math.Min(smallest, bytes);
            _smallestShared = space == StateSpace.Generic ? Math.Min(_smallestShared, bytes) : _smallestShared;
        }

        return new Place(space, register, wide, offset);
    }

    private Operation DecodeAtomic()
    {
        var space = StateSpace.Generic;
        var (function, type) = ("", "");
        foreach (var modifier in _now.Modifiers)
        {
            switch (modifier)
            {
                case "global":
                    space = StateSpace.Global;
                    break;
                case "shared" or "shared::cta":
                    space = StateSpace.Shared;
                    break;
                case "relaxed" or "acquire" or "release" or "acq_rel" or "cta" or "gpu" or "sys":
                    break;
                case "add" or "min" or "max" or "and" or "or" or "xor" or "exch" or "cas" or "inc" or "dec":
                    function = modifier;
                    break;
                case "b32" or "u32" or "s32" or "b64" or "u64" or "s64":
                    type = modifier;
                    break;
                default:
                    throw Unknown(
                        $"'.{modifier}' on an atomic; floats are not summed so, as the order would show");
            }
        }

        var returns = _now.Opcode == "atom";
        var first = returns ? 1 : 0;
        var bits = Bytes(type) * 8;
        OperandCount(first + (function == "cas" ? 3 : 2));
        var place = DecodePlace(_now.Operands[first], space, Bytes(type));
        var b = Read(first + 1, bits);
        var c = function == "cas" ? Read(first + 2, bits) : b;
        var result = returns ? Write(bits) : -1;
        return bits == 32
            ? new Atomic<uint>(place, result, b, c, Update32(function, type[0] == 's'))
            : new Atomic<ulong>(place, result, b, c, Update64(function, type[0] == 's'));
    }

    private static Func<uint, uint, uint, uint> Update32(string function, bool signed) => function switch
    {
        "add" => (old, b, _) => old + b,
        "min" => signed ? (old, b, _) => (uint)Math.Min((int)old, (int)b) : (old, b, _) => Math.Min(old, b),
        "max" => signed ? (old, b, _) => (uint)Math.Max((int)old, (int)b) : (old, b, _) => Math.Max(old, b),
        "and" => (old, b, _) => old & b,
        "or" => (old, b, _) => old | b,
        "xor" => (old, b, _) => old ^ b,
        "exch" => (_, b, _) => b,
        "cas" => (old, b, c) => old == b ? c : old,
        "inc" => (old, b, _) => old >= b ? 0 : old + 1,
        "dec" => (old, b, _) => old == 0 || old > b ? b : old - 1,
        _ => throw Unknown(),
    };

    private static Func<ulong, ulong, ulong, ulong> Update64(string function, bool signed) => function switch
    {
        "add" => (old, b, _) => old + b,
        "min" => signed ? (old, b, _) => (ulong)Math.Min((long)old, (long)b) : (old, b, _) => Math.Min(old, b),
        "max" => signed ? (old, b, _) => (ulong)Math.Max((long)old, (long)b) : (old, b, _) => Math.Max(old, b),
        "and" => (old, b, _) => old & b,
        "or" => (old, b, _) => old | b,
        "xor" => (old, b, _) => old ^ b,
        "exch" => (_, b, _) => b,
        "cas" => (old, b, c) => old == b ? c : old,
        _ => throw Unknown(),
    };
}
