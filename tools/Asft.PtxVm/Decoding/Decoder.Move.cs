using Asft.PtxVm.Execution;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm.Decoding;

/// <summary>Moves, packing, address conversion, and what the threads of a warp do together.</summary>
internal sealed partial class Decoder
{
    private Operation? Move(out InstructionClass kind)
    {
        kind = InstructionClass.Move;
        switch (_now.Opcode)
        {
            case "mov":
                OperandCount(2);
                return DecodeMove();
            case "cvta":
                return DecodeAddress();
            case "mapa":
                Only("shared::cluster", "u32");
                OperandCount(3);
                return new MapAddress(Write(32), Read(1, 32), Read(2, 32));
            case "isspacep":
                OperandCount(2);
                kind = InstructionClass.Comparison;
                return DecodeIsSpace();
            default:
                return null;
        }
    }

    private Operation DecodeMove()
    {
        var type = _now.Modifiers is [var only] ? only : throw Unknown();
        var (target, source) = (_now.Operands[0], _now.Operands[1]);
        if (type == "pred")
        {
            var from = Read(source, 1);
            var negated = source.Negated;
            return new PredicateOperation(Write(1), from, from, negated ? (a, _) => ~a : (a, _) => a);
        }

        var bits = Bytes(type) * 8;
        if (target.Kind == OperandKind.Vector)
        {
            return DecodeUnpack(target, source, bits);
        }

        if (source.Kind == OperandKind.Vector)
        {
            return DecodePack(target, source, bits);
        }

        if (source.Kind == OperandKind.Variable)
        {
            var address = Constant(bits, AddressOf(source));
            return bits == 64 ? new Copy<ulong>(Write(64), address) : new Copy<uint>(Write(32), address);
        }

        var place = Read(source, bits);
        return bits == 64 ? new Copy<ulong>(Write(64), place) : new Copy<uint>(Write(bits), place);
    }

    // mov.b64 {a, b}, d
    private Sequence DecodeUnpack(Operand target, Operand source, int bits)
    {
        var part = bits / target.Parts.Length;
        var from = Read(source, bits);
        var mask = (1UL << part) - 1;
        return new Sequence([.. target.Parts.Where(to => to.Kind != OperandKind.Sink).Select((to, _) =>
        {
            var shift = Array.IndexOf(target.Parts, to) * part;
            return (Operation)(bits == 64
                ? new Map<ulong, uint>(Write(to, part), from, a => (uint)(a >> shift & mask))
                : new Map<uint, uint>(Write(to, part), from, a => (uint)(a >> shift & mask)));
        })]);
    }

    // mov.b64 d, {a, b}
    private Operation DecodePack(Operand target, Operand source, int bits)
    {
        var part = bits / source.Parts.Length;
        var parts = source.Parts.Select(from => Read(from, part)).ToArray();
        var to = Write(target, bits);
        return (bits, parts.Length) switch
        {
            (32, 2) => new Vectors2<uint, PackHalves>(to, parts[0], parts[1]),
            (64, 2) => new Map<uint, uint, ulong>(to, parts[0], parts[1], (a, b) => a | (ulong)b << 32),
            (64, 4) => new Sequence([
                new Map<uint, uint, uint, ulong>(
                    to, parts[0], parts[1], parts[2], (a, b, c) => a | (ulong)b << 16 | (ulong)c << 32),
                new Map<ulong, uint, ulong>(to, to, parts[3], (a, d) => a | (ulong)d << 48)]),
            _ => throw Unknown(),
        };
    }

    private Operation DecodeAddress()
    {
        Only("to", "global", "shared", "local", "const", "u64", "u32");
        OperandCount(2);
        var window = _now.Has("shared") ? Windows.Shared : _now.Has("local") ? Windows.Local : 0;
        var from = Read(1, 64);
        var to = Write(64);
        if (window == 0)
        {
            return new Copy<ulong>(to, from);
        }

        return _now.Has("to")
            ? new Map<ulong, ulong>(to, from, a => a - window)
            : new Map<ulong, ulong>(to, from, a => a + window);
    }

    private ComparisonMap<ulong> DecodeIsSpace()
    {
        Only("global", "shared", "local");
        var target = new ComparisonTarget(Write(1), -1, Combination.None, -1, false);
        var from = Read(1, 64);
        Func<ulong, ulong, bool> test = _now.Has("shared") ? (a, _) => Windows.IsShared(a)
            : _now.Has("local") ? (a, _) => Windows.IsLocal(a)
            : (a, _) => !Windows.IsShared(a) && !Windows.IsLocal(a);
        return new ComparisonMap<ulong>(from, from, test, target);
    }

    private Operation? WarpWide(out InstructionClass kind)
    {
        kind = InstructionClass.Shuffle;
        switch (_now.Opcode)
        {
            case "bar" or "barrier":
                Only("warp", "sync");
                OperandCount(1);
                kind = InstructionClass.Barrier;
                return new WarpBarrier(Read(0, 32));
            case "shfl":
                return DecodeShuffle();
            case "vote":
                Only("sync", "all", "any", "uni", "ballot", "pred", "b32");
                OperandCount(3);
                var mode = _now.Modifiers[1];
                return new Vote(mode, Write(mode == "ballot" ? 32 : 1), Read(1, 1), _now.Operands[1].Negated, Read(2, 32));
            case "match":
                return DecodeMatch();
            case "redux":
                return DecodeReduction();
            case "activemask":
                OperandCount(1);
                return new ActiveMask(Write(32));
            default:
                return null;
        }
    }

    private Shuffle DecodeShuffle()
    {
        Only("sync", "up", "down", "bfly", "idx", "b32");
        OperandCount(5);
        var mode = _now.Has("up") ? ShuffleMode.Up
            : _now.Has("down") ? ShuffleMode.Down
            : _now.Has("bfly") ? ShuffleMode.Xor
            : ShuffleMode.Index;
        var (result, predicate) = Results(32);
        return new Shuffle(mode, result, predicate, Read(1, 32), Read(2, 32), Read(3, 32), Read(4, 32));
    }

    // d or d|p
    private (int Result, int Predicate) Results(int bits)
    {
        var target = _now.Operands[0];
        return target.Kind == OperandKind.Pair
            ? (Write(target.Parts[0], bits), Write(target.Parts[1], 1))
            : (Write(target, bits), -1);
    }

    private Operation DecodeMatch()
    {
        Only("any", "all", "sync", "b32", "b64");
        OperandCount(3);
        var (result, predicate) = Results(32);
        var all = _now.Has("all");
        return _now.Has("b64")
            ? new Match<ulong>(all, result, predicate, Read(1, 64), Read(2, 32))
            : new Match<uint>(all, result, predicate, Read(1, 32), Read(2, 32));
    }

    private Reduction DecodeReduction()
    {
        Only("sync", "add", "min", "max", "and", "or", "xor", "u32", "s32", "b32");
        OperandCount(3);
        var signed = _now.Has("s32");
        Func<uint, uint, uint> function = _now.Modifiers[1] switch
        {
            "add" => (a, b) => a + b,
            "min" => signed ? (a, b) => (uint)Math.Min((int)a, (int)b) : Math.Min,
            "max" => signed ? (a, b) => (uint)Math.Max((int)a, (int)b) : Math.Max,
            "and" => (a, b) => a & b,
            "or" => (a, b) => a | b,
            "xor" => (a, b) => a ^ b,
            _ => throw Unknown(),
        };
        return new Reduction(Write(32), Read(1, 32), Read(2, 32), function);
    }
}
