using System.Numerics;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Decoding;

/// <summary>Integer arithmetic, logic, shifts and bit fields.</summary>
internal sealed partial class Decoder
{
    private Operation? Integers(out InstructionClass kind)
    {
        kind = InstructionClass.Integer;
        var type = _now.Modifiers.Length > 0 ? _now.Modifiers[^1] : "";
        if (type == "pred")
        {
            kind = InstructionClass.Logic;
            return PredicateLogic();
        }

        var isInteger = type is "u16" or "s16" or "b16" or "u32" or "s32" or "b32" or "u64" or "s64" or "b64";
        if (!isInteger)
        {
            return null;
        }

        var bits = Bytes(type) * 8;
        var signed = type[0] == 's';
        switch (_now.Opcode)
        {
            case "and" or "or" or "xor" or "not" or "cnot" or "lop3" or "prmt":
                kind = InstructionClass.Logic;
                return Logic(type, bits);
            case "shl" or "shr" or "shf":
                return Shift(bits, signed);
            case "add" or "sub" or "min" or "max":
                return Sums(bits, signed);
            case "mul" or "mad":
                return Products(bits, signed);
            case "div" or "rem":
                Only(type);
                return Divisions(bits, signed);
            case "neg" or "abs":
                Only(type);
                OperandCount(2);
                return Unary(bits, _now.Opcode == "neg" ? x => 0 - x : x => (long)x < 0 ? 0 - x : x, extend: true);
            case "popc":
                Only(type);
                return Count(bits, x => (uint)BitOperations.PopCount(x));
            case "clz":
                Only(type);
                return Count(bits, x => (uint)(BitOperations.LeadingZeroCount(x) - (64 - bits)));
            case "bfind":
                Only("shiftamt", type);
                var fromTop = _now.Has("shiftamt");
                return Count(bits, x =>
                {
                    x = signed && (x >> (bits - 1) & 1) != 0 ? ~x & Mask(bits) : x;
                    var position = x == 0 ? -1 : 63 - BitOperations.LeadingZeroCount(x);
                    return position < 0 ? uint.MaxValue : (uint)(fromTop ? bits - 1 - position : position);
                });
            case "brev":
                Only(type);
                OperandCount(2);
                return Unary(bits, x => Reverse(x) >> (64 - bits), extend: false);
            case "bfe":
                Only(type);
                return ExtractField(bits, signed);
            case "bfi":
                Only(type);
                return InsertField(bits);
            case "sad" when bits == 32:
                Only(type);
                OperandCount(4);
                return signed
                    ? new Map<int, int, uint, uint>(
                        Write(32), Read(1, 32), Read(2, 32), Read(3, 32), (a, b, c) => c + (uint)Math.Abs((long)a - b))
                    : new Map<uint, uint, uint, uint>(
                        Write(32), Read(1, 32), Read(2, 32), Read(3, 32), (a, b, c) => c + (a > b ? a - b : b - a));
            default:
                return null;
        }
    }

    private static ulong Mask(int bits) => bits == 64 ? ulong.MaxValue : (1UL << bits) - 1;

    private static ulong Extend(ulong value, int bits, bool signed) =>
        signed ? (ulong)((long)(value << (64 - bits)) >> (64 - bits)) : value & Mask(bits);

    // A function of one integer, given as 64 bits, sign-extended if asked.
    private Operation Unary(int bits, Func<ulong, ulong> function, bool extend) => bits == 64
        ? new Map<ulong, ulong>(Write(64), Read(1, 64), function)
        : new Map<uint, uint>(Write(bits), Read(1, bits), a => (uint)(function(Extend(a, bits, extend)) & Mask(bits)));

    private Operation Count(int bits, Func<ulong, uint> function)
    {
        OperandCount(2);
        return bits == 64
            ? new Map<ulong, uint>(Write(32), Read(1, 64), function)
            : new Map<uint, uint>(Write(32), Read(1, bits), a => function(a & Mask(bits)));
    }

    private static ulong Reverse(ulong value)
    {
        var reversed = 0UL;
        for (var i = 0; i < 64; i++)
        {
            reversed |= (value >> i & 1) << (63 - i);
        }

        return reversed;
    }

    private PredicateOperation PredicateLogic()
    {
        var a = Read(1, 1);
        var aNegated = _now.Operands[1].Negated;
        if (_now.Opcode == "not")
        {
            return new PredicateOperation(Write(1), a, a, (x, _) => ~x);
        }

        OperandCount(3);
        var b = Read(2, 1);
        var bNegated = _now.Operands[2].Negated;
        Func<uint, uint, uint> function = _now.Opcode switch
        {
            "and" => (x, y) => x & y,
            "or" => (x, y) => x | y,
            "xor" => (x, y) => x ^ y,
            _ => throw Unknown(),
        };
        return new PredicateOperation(Write(1), a, b, (x, y) => function(aNegated ? ~x : x, bNegated ? ~y : y));
    }

    private Operation Logic(string type, int bits)
    {
        switch (_now.Opcode)
        {
            case "not":
                OperandCount(2);
                Only(type);
                return bits switch
                {
                    64 => new Vectors1<ulong, Not<ulong>>(Write(64), Read(1, 64)),
                    32 => new Vectors1<uint, Not<uint>>(Write(32), Read(1, 32)),
                    _ => new Map<uint, uint>(Write(16), Read(1, 16), a => ~a & 0xFFFF),
                };
            case "cnot":
                OperandCount(2);
                return Unary(bits, x => x == 0 ? 1UL : 0, extend: false);
            case "lop3":
                Only(type);
                OperandCount(5);
                var table = _now.Operands[4].Kind == Syntax.OperandKind.Integer
                    ? (uint)_now.Operands[4].Integer
                    : throw Unknown();
                return new Map<uint, uint, uint, uint>(
                    Write(32), Read(1, 32), Read(2, 32), Read(3, 32), (a, b, c) => Lookup(table, a, b, c));
            case "prmt":
                OperandCount(4);
                return Permute();
            default:
                OperandCount(3);
                Only(type);
                return (_now.Opcode, bits) switch
                {
                    ("and", 64) => new Vectors2<ulong, And<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
                    ("or", 64) => new Vectors2<ulong, Or<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
                    (_, 64) => new Vectors2<ulong, Xor<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
                    ("and", _) => new Vectors2<uint, And<uint>>(Write(bits), Read(1, bits), Read(2, bits)),
                    ("or", _) => new Vectors2<uint, Or<uint>>(Write(bits), Read(1, bits), Read(2, bits)),
                    _ => new Vectors2<uint, Xor<uint>>(Write(bits), Read(1, bits), Read(2, bits)),
                };
        }
    }

    // Bit i of the table is the result where the bits of (a, b, c) spell i.
    private static uint Lookup(uint table, uint a, uint b, uint c)
    {
        var result = 0u;
        for (var i = 0; i < 8; i++)
        {
            if ((table >> i & 1) != 0)
            {
                result |= ((i & 4) != 0 ? a : ~a) & ((i & 2) != 0 ? b : ~b) & ((i & 1) != 0 ? c : ~c);
            }
        }

        return result;
    }

    private Map<uint, uint, uint, uint> Permute()
    {
        Only("b32");
        return new Map<uint, uint, uint, uint>(
            Write(32), Read(1, 32), Read(2, 32), Read(3, 32), (a, b, c) => Selected(a | (ulong)b << 32, c));

        static uint Selected(ulong bytes, uint selectors)
        {
            var result = 0u;
            for (var i = 0; i < 4; i++)
            {
                var selector = selectors >> (4 * i) & 0xF;
                var value = (uint)(bytes >> (int)(8 * (selector & 7))) & 0xFF;
                result |= ((selector & 8) == 0 ? value : (value & 0x80) != 0 ? 0xFFu : 0) << (8 * i);
            }

            return result;
        }
    }

    // Shift amounts beyond the width count as the width, which is what x86's variable shifts do too.
    private readonly struct ShiftLeft32 : IVectorFunction2<uint>
    {
        public static Vector256<uint> Of(Vector256<uint> a, Vector256<uint> b) => Avx2.ShiftLeftLogicalVariable(a, b);
    }

    private readonly struct ShiftRight32 : IVectorFunction2<uint>
    {
        public static Vector256<uint> Of(Vector256<uint> a, Vector256<uint> b) => Avx2.ShiftRightLogicalVariable(a, b);
    }

    private Operation Shift(int bits, bool signed)
    {
        if (_now.Opcode == "shf")
        {
            OperandCount(4);
            Only("l", "r", "wrap", "clamp", "b32");
            var (left, wrap) = (_now.Has("l"), _now.Has("wrap"));
            return new Map<uint, uint, uint, uint>(Write(32), Read(1, 32), Read(2, 32), Read(3, 32), (a, b, c) =>
            {
                var both = a | (ulong)b << 32;
                var amount = (int)(wrap ? c & 31 : Math.Min(c, 32));
                return left ? (uint)(both << amount >> 32) : (uint)(both >> amount);
            });
        }

        OperandCount(3);
        Only(_now.Modifiers[^1]);
        var isLeft = _now.Opcode == "shl";
        if (bits == 32 && Avx2.IsSupported && !(signed && !isLeft))
        {
            return isLeft
                ? new Vectors2<uint, ShiftLeft32>(Write(32), Read(1, 32), Read(2, 32))
                : new Vectors2<uint, ShiftRight32>(Write(32), Read(1, 32), Read(2, 32));
        }

        var amountPlace = Read(2, 32);
        if (bits == 64)
        {
            return new Map<ulong, uint, ulong>(Write(64), Read(1, 64), amountPlace, isLeft ? (a, b) => b > 63 ? 0 : a << (int)b
                : signed ? (a, b) => (ulong)((long)a >> (int)Math.Min(b, 63))
                : (a, b) => b > 63 ? 0 : a >> (int)b);
        }

        return new Map<uint, uint, uint>(Write(bits), Read(1, bits), amountPlace, (a, b) =>
        {
            var value = Extend(a, bits, signed);
            var amount = (int)Math.Min(b, (uint)bits);
            return (uint)((isLeft ? value << amount : signed ? (ulong)((long)value >> amount) : value >> amount) & Mask(bits));
        });
    }

    private Operation Sums(int bits, bool signed)
    {
        OperandCount(3);
        if (_now.Has("sat"))
        {
            Only("sat", "s32");
            return new Map<int, int, int>(Write(32), Read(1, 32), Read(2, 32), _now.Opcode == "add"
                ? (a, b) => (int)Math.Clamp((long)a + b, int.MinValue, int.MaxValue)
                : (a, b) => (int)Math.Clamp((long)a - b, int.MinValue, int.MaxValue));
        }

        Only(_now.Modifiers[^1]);
        return (_now.Opcode, bits, signed) switch
        {
            ("add", 64, _) => new Vectors2<ulong, Add<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
            ("sub", 64, _) => new Vectors2<ulong, Sub<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
            ("min", 64, true) => new Vectors2<long, Minimum<long>>(Write(64), Read(1, 64), Read(2, 64)),
            ("min", 64, _) => new Vectors2<ulong, Minimum<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
            ("max", 64, true) => new Vectors2<long, Maximum<long>>(Write(64), Read(1, 64), Read(2, 64)),
            ("max", 64, _) => new Vectors2<ulong, Maximum<ulong>>(Write(64), Read(1, 64), Read(2, 64)),
            ("add", 32, _) => new Vectors2<uint, Add<uint>>(Write(32), Read(1, 32), Read(2, 32)),
            ("sub", 32, _) => new Vectors2<uint, Sub<uint>>(Write(32), Read(1, 32), Read(2, 32)),
            ("min", 32, true) => new Vectors2<int, Minimum<int>>(Write(32), Read(1, 32), Read(2, 32)),
            ("min", 32, _) => new Vectors2<uint, Minimum<uint>>(Write(32), Read(1, 32), Read(2, 32)),
            ("max", 32, true) => new Vectors2<int, Maximum<int>>(Write(32), Read(1, 32), Read(2, 32)),
            ("max", 32, _) => new Vectors2<uint, Maximum<uint>>(Write(32), Read(1, 32), Read(2, 32)),
            ("add", _, _) => new Map<uint, uint, uint>(Write(16), Read(1, 16), Read(2, 16), (a, b) => a + b & 0xFFFF),
            ("sub", _, _) => new Map<uint, uint, uint>(Write(16), Read(1, 16), Read(2, 16), (a, b) => a - b & 0xFFFF),
            ("min", _, true) =>
                new Map<uint, uint, uint>(Write(16), Read(1, 16), Read(2, 16), (a, b) => (short)a < (short)b ? a : b),
            ("min", _, _) => new Map<uint, uint, uint>(Write(16), Read(1, 16), Read(2, 16), Math.Min),
            (_, _, true) => new Map<uint, uint, uint>(Write(16), Read(1, 16), Read(2, 16), (a, b) => (short)a > (short)b ? a : b),
            _ => new Map<uint, uint, uint>(Write(16), Read(1, 16), Read(2, 16), Math.Max),
        };
    }

    private Operation Products(int bits, bool signed)
    {
        Only("lo", "hi", "wide", _now.Modifiers[^1]);
        var adds = _now.Opcode == "mad";
        OperandCount(adds ? 4 : 3);
        if (_now.Has("wide"))
        {
            return WideProduct(bits, signed, adds);
        }

        var high = _now.Has("hi");
        if (bits == 64)
        {
            if (!high)
            {
                return adds
                    ? new Vectors3<ulong, MulAdd<ulong>>(Write(64), Read(1, 64), Read(2, 64), Read(3, 64))
                    : new Vectors2<ulong, Mul<ulong>>(Write(64), Read(1, 64), Read(2, 64));
            }

            Func<ulong, ulong, ulong> top = signed
                ? (a, b) => (ulong)Math.BigMul((long)a, (long)b, out _)
                : (a, b) => Math.BigMul(a, b, out _);
            return adds
                ? new Map<ulong, ulong, ulong, ulong>(
                    Write(64), Read(1, 64), Read(2, 64), Read(3, 64), (a, b, c) => top(a, b) + c)
                : new Map<ulong, ulong, ulong>(Write(64), Read(1, 64), Read(2, 64), top);
        }

        if (bits == 32 && !high)
        {
            return adds
                ? new Vectors3<uint, MulAdd<uint>>(Write(32), Read(1, 32), Read(2, 32), Read(3, 32))
                : new Vectors2<uint, Mul<uint>>(Write(32), Read(1, 32), Read(2, 32));
        }

        var shift = high ? bits : 0;
        uint Product(uint a, uint b) => (uint)(Extend(a, bits, signed) * Extend(b, bits, signed) >> shift & Mask(bits));
        return adds
            ? new Map<uint, uint, uint, uint>(
                Write(bits), Read(1, bits), Read(2, bits), Read(3, bits), (a, b, c) => (uint)(Product(a, b) + c & Mask(bits)))
            : new Map<uint, uint, uint>(Write(bits), Read(1, bits), Read(2, bits), Product);
    }

    private Operation WideProduct(int bits, bool signed, bool adds)
    {
        switch (bits, adds)
        {
            case (32, false):
                return signed
                    ? new Map<int, int, long>(Write(64), Read(1, 32), Read(2, 32), (a, b) => (long)a * b)
                    : new Map<uint, uint, ulong>(Write(64), Read(1, 32), Read(2, 32), (a, b) => (ulong)a * b);
            case (32, true):
                return signed
                    ? new Map<int, int, long, long>(
                        Write(64), Read(1, 32), Read(2, 32), Read(3, 64), (a, b, c) => (long)a * b + c)
                    : new Map<uint, uint, ulong, ulong>(
                        Write(64), Read(1, 32), Read(2, 32), Read(3, 64), (a, b, c) => (ulong)a * b + c);
            case (16, false):
                return new Map<uint, uint, uint>(
                    Write(32), Read(1, 16), Read(2, 16), (a, b) => (uint)(Extend(a, 16, signed) * Extend(b, 16, signed)));
            case (16, true):
                return new Map<uint, uint, uint, uint>(
                    Write(32), Read(1, 16), Read(2, 16), Read(3, 32), (a, b, c) =>
                        (uint)(Extend(a, 16, signed) * Extend(b, 16, signed)) + c);
            default:
                throw Unknown();
        }
    }

    private Operation Divisions(int bits, bool signed)
    {
        OperandCount(3);
        var divides = _now.Opcode == "div";
        return (bits, signed) switch
        {
            // the least number by -1 overflows to itself
            (64, true) when divides => new Division<long>(Write(64), Read(1, 64), Read(2, 64), (a, b) => b == -1 ? unchecked(-a) : a / b),
            (64, true) => new Division<long>(Write(64), Read(1, 64), Read(2, 64), (a, b) => b == -1 ? 0 : a % b),
            (64, _) => new Division<ulong>(Write(64), Read(1, 64), Read(2, 64), divides ? (a, b) => a / b : (a, b) => a % b),
            (32, true) when divides => new Division<int>(Write(32), Read(1, 32), Read(2, 32), (a, b) => b == -1 ? unchecked(-a) : a / b),
            (32, true) => new Division<int>(Write(32), Read(1, 32), Read(2, 32), (a, b) => b == -1 ? 0 : a % b),
            (32, _) => new Division<uint>(Write(32), Read(1, 32), Read(2, 32), divides ? (a, b) => a / b : (a, b) => a % b),
            (_, true) => new Division<uint>(Write(16), Read(1, 16), Read(2, 16), divides
                ? (a, b) => (uint)((short)a / (short)b) & 0xFFFF
                : (a, b) => (uint)((short)a % (short)b) & 0xFFFF),
            _ => new Division<uint>(Write(16), Read(1, 16), Read(2, 16), divides ? (a, b) => a / b : (a, b) => a % b),
        };
    }

    private Operation ExtractField(int bits, bool signed)
    {
        OperandCount(4);
        ulong Field(ulong value, uint position, uint length)
        {
            var (start, count) = ((int)(position & 0xFF), (int)(length & 0xFF));
            if (count == 0)
            {
                return 0;
            }

            // beyond the top the sign continues
            var sign = signed && (value >> Math.Min(start + count - 1, bits - 1) & 1) != 0;
            var field = start >= bits ? 0 : value >> start;
            var known = Math.Max(0, Math.Min(count, bits - start));
            field &= known == 0 ? 0 : Mask(known);
            return (sign ? field | ~(known == 0 ? 0UL : Mask(known)) : field) & Mask(bits);
        }

        return bits == 64
            ? new Map<ulong, uint, uint, ulong>(Write(64), Read(1, 64), Read(2, 32), Read(3, 32), Field)
            : new Map<uint, uint, uint, uint>(
                Write(32), Read(1, 32), Read(2, 32), Read(3, 32), (a, b, c) => (uint)Field(a, b, c));
    }

    private Operation InsertField(int bits)
    {
        OperandCount(5);
        ulong Insert(ulong value, ulong into, uint position, uint length)
        {
            var (start, count) = ((int)(position & 0xFF), (int)(length & 0xFF));
            if (count == 0 || start >= bits)
            {
                return into;
            }

            var field = Mask(Math.Min(count, bits - start)) << start;
            return (into & ~field) | (value << start & field);
        }

        var (position, length) = (Read(3, 32), Read(4, 32));
        return bits == 64
            ? new FieldInsertion<ulong>(Write(64), Read(1, 64), Read(2, 64), position, length, Insert)
            : new FieldInsertion<uint>(
                Write(32), Read(1, 32), Read(2, 32), position, length, (a, b, c, d) => (uint)Insert(a, b, c, d));
    }
}
