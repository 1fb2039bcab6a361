using Asft.PtxVm.Arithmetic;
using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Decoding;

/// <summary>cvt between any two of the types, with any rounding.</summary>
internal sealed partial class Decoder
{
    private Operation? Conversion(out InstructionClass kind)
    {
        kind = InstructionClass.Conversion;
        if (_now.Opcode != "cvt")
        {
            return null;
        }

        var (to, from) = (_now.Modifiers[^2], _now.Modifiers[^1]);
        foreach (var modifier in _now.Modifiers[..^2])
        {
            if (modifier is not ("ftz" or "sat" or "relu" or "rn" or "rz" or "rm" or "rp" or "rni" or "rzi" or "rmi" or "rpi"))
            {
                throw Unknown($"'.{modifier}' here");
            }
        }

        if (to is "f16x2" or "bf16x2")
        {
            return DecodePackedConversion(to, from);
        }

        OperandCount(2);
        var source = _now.Operands[1];
        var wantedFrom = Bytes(from) * 8;
        int fromWidth;
        var a = source.Kind == Syntax.OperandKind.Register
            ? ReadAny(source, wantedFrom, out fromWidth)
            : Read(source, fromWidth = Math.Max(wantedFrom, 16));
        var d = WriteAny(_now.Operands[0], Bytes(to) * 8, out var toWidth);
        if (fromWidth < wantedFrom && !(wantedFrom == 8))
        {
            throw new DecodingException($"a source of {fromWidth} bits where {wantedFrom} belong");
        }

        return Simple(to, from, d, a, fromWidth, toWidth) ?? General(to, from, d, a, fromWidth, toWidth);
    }

    private static bool IsFloat(string type) => type is "f16" or "bf16" or "f32" or "f64";

    // The conversions that kernels do often.
    private Operation? Simple(string to, string from, int d, int a, int fromWidth, int toWidth)
    {
        var plain = !_now.Has("sat") && !_now.Has("ftz") && !_now.Has("relu");
        if (!plain)
        {
            return null;
        }

        return (to, from, fromWidth, toWidth) switch
        {
            ("u64" or "s64" or "b64", "u32" or "b32", 32, 64) => new Map<uint, ulong>(d, a, x => x),
            ("u64" or "s64" or "b64", "s32", 32, 64) => new Map<int, long>(d, a, x => x),
            ("u32" or "s32" or "b32", "u64" or "s64" or "b64", 64, 32) => new Map<ulong, uint>(d, a, x => (uint)x),
            ("u32" or "s32", "u16", 16, 32) => new Copy<uint>(d, a),
            ("u16" or "s16", "u32" or "s32", 32, 16) => new Map<uint, uint>(d, a, x => x & 0xFFFF),
            ("f32", "f16", 16, 32) => new Vectors1<uint, Widen<Float16Format>>(d, a),
            ("f32", "bf16", 16, 32) => new Vectors1<uint, Widen<BFloat16Format>>(d, a),
            ("f16", "f32", 32, 16) when _now.Has("rn") => new Vectors1<uint, Narrow<Float16Format>>(d, a),
            ("bf16", "f32", 32, 16) when _now.Has("rn") => new Vectors1<uint, Narrow<BFloat16Format>>(d, a),
            ("f64", "f32", 32, 64) => new Map<float, double>(d, a, x => Floats.Canonical((double)x)),
            ("f32", "f64", 64, 32) when _now.Has("rn") => new Map<double, float>(d, a, x => Floats.Canonical((float)x)),
            ("f32", "s32", 32, 32) when _now.Has("rn") => new Map<int, float>(d, a, x => x),
            ("f32", "u32", 32, 32) when _now.Has("rn") => new Map<uint, float>(d, a, x => (float)(double)x),
            _ => null,
        };
    }

    private Operation General(string to, string from, int d, int a, int fromWidth, int toWidth)
    {
        var convert = IsFloat(from) ? (IsFloat(to) ? FloatToFloat(to, from) : FloatToInteger(to, from))
            : IsFloat(to) ? IntegerToFloat(to, from)
            : IntegerToInteger(to, from);

        // a result shorter than its register is extended by its own sign
        var resultBits = Bytes(to) * 8;
        var extend = !IsFloat(to) && to[0] == 's' && resultBits < toWidth;
        var keep = toWidth == 64 ? ulong.MaxValue : (1UL << toWidth) - 1;
        ulong Finish(ulong value) => (extend ? (ulong)((long)(value << (64 - resultBits)) >> (64 - resultBits)) : value) & keep;
        return (fromWidth, toWidth) switch
        {
            (64, 64) => new Map<ulong, ulong>(d, a, x => Finish(convert(x))),
            (64, _) => new Map<ulong, uint>(d, a, x => (uint)Finish(convert(x))),
            (_, 64) => new Map<uint, ulong>(d, a, x => Finish(convert(x))),
            _ => new Map<uint, uint>(d, a, x => (uint)Finish(convert(x))),
        };
    }

    private Rounding RoundingOf(Rounding otherwise)
    {
        foreach (var modifier in _now.Modifiers)
        {
            switch (modifier)
            {
                case "rn" or "rni":
                    return Rounding.Nearest;
                case "rz" or "rzi":
                    return Rounding.Zero;
                case "rm" or "rmi":
                    return Rounding.Down;
                case "rp" or "rpi":
                    return Rounding.Up;
            }
        }

        return otherwise;
    }

    private static Func<ulong, double> Decoded(string type, bool flush) => type switch
    {
        "f16" => x => Floats.FromHalf((uint)x & 0xFFFF),
        "bf16" => x => Floats.FromBFloat16((uint)x & 0xFFFF),
        "f32" => x => Floats.Flush(BitConverter.UInt32BitsToSingle((uint)x), flush),
        _ => BitConverter.UInt64BitsToDouble,
    };

    private static Func<double, ulong> Encoded(string type, Rounding rounding, bool flush) => type switch
    {
        "f16" => x => Floats.ToHalf(x, rounding),
        "bf16" => x => Floats.ToBFloat16(x, rounding),
        "f32" when rounding == Rounding.Nearest =>
            x => BitConverter.SingleToUInt32Bits(Floats.Canonical(Floats.Flush((float)x, flush))),
        "f32" => x =>
        {
            var rounded = (float)Floats.Round(x, Format.Single, rounding);
            return BitConverter.SingleToUInt32Bits(Floats.Canonical(Floats.Flush(rounded, flush)));
        }
        ,
        _ => x => BitConverter.DoubleToUInt64Bits(Floats.Canonical(x)),
    };

    private Func<ulong, ulong> FloatToFloat(string to, string from)
    {
        var integral = _now.Modifiers.Any(modifier => modifier is "rni" or "rzi" or "rmi" or "rpi");
        var rounding = RoundingOf(Rounding.Nearest);
        var (saturates, rectifies) = (_now.Has("sat"), _now.Has("relu"));
        var decode = Decoded(from, _now.Has("ftz"));
        var encode = Encoded(to, integral ? Rounding.Nearest : rounding, _now.Has("ftz"));
        return bits =>
        {
            var value = decode(bits);
            value = integral ? Floats.ToIntegral(value, rounding) : value;
            value = rectifies && value < 0 ? 0 : value;
            return encode(saturates ? Floats.Saturate(value) : value);
        };
    }

    private Func<ulong, ulong> FloatToInteger(string to, string from)
    {
        var rounding = RoundingOf(Rounding.Zero);
        var decode = Decoded(from, _now.Has("ftz"));
        var bits = Bytes(to) * 8;
        var signed = to[0] == 's';
        var least = signed ? -Math.ScaleB(1, bits - 1) : 0;
        var beyond = Math.ScaleB(1, signed ? bits - 1 : bits); // the first number that does not fit
        var (min, max) = signed
            ? (1UL << (bits - 1), (1UL << (bits - 1)) - 1)
            : (0UL, bits == 64 ? ulong.MaxValue : (1UL << bits) - 1);
        var keep = bits == 64 ? ulong.MaxValue : (1UL << bits) - 1;
        return x =>
        {
            var value = Floats.ToIntegral(decode(x), rounding);
            return double.IsNaN(value) ? 0
                : value < least ? min
                : value >= beyond ? max
                : (value < 0 ? (ulong)(long)value : (ulong)value) & keep;
        };
    }

    private Func<ulong, ulong> IntegerToFloat(string to, string from)
    {
        var rounding = RoundingOf(Rounding.Nearest);
        var saturates = _now.Has("sat");
        var bits = Bytes(from) * 8;
        var signed = from[0] == 's';
        var format = to switch
        {
            "f16" => Format.Half,
            "bf16" => Format.BFloat16,
            "f32" => Format.Single,
            _ => Format.Double,
        };
        var encode = Encoded(to, Rounding.Nearest, flush: false);
        return x =>
        {
            var extended = x << (64 - bits);
            System.Numerics.BigInteger integer = signed ? (long)extended >> (64 - bits) : extended >> (64 - bits);
            var value = new Exact(integer, 0).Round(format, rounding);
            return encode(saturates ? Floats.Saturate(value) : value);
        };
    }

    private Func<ulong, ulong> IntegerToInteger(string to, string from)
    {
        var (fromBits, toBits) = (Bytes(from) * 8, Bytes(to) * 8);
        var (fromSigned, toSigned) = (from[0] == 's', to[0] == 's');
        var saturates = _now.Has("sat");
        var keep = toBits == 64 ? ulong.MaxValue : (1UL << toBits) - 1;
        var least = toSigned ? -(Int128.One << (toBits - 1)) : 0;
        var most = (Int128.One << (toSigned ? toBits - 1 : toBits)) - 1;
        return x =>
        {
            var extended = x << (64 - fromBits);
            Int128 value = fromSigned ? (long)extended >> (64 - fromBits) : extended >> (64 - fromBits);
            value = saturates ? Int128.Clamp(value, least, most) : value;

            // a wider register gets the extension by the source's sign
            return toBits == 64 ? (ulong)value : (ulong)value & keep;
        };
    }

    // cvt.rn.bf16x2.f32 d, a, b: a goes to the upper half
    private Operation DecodePackedConversion(string to, string from)
    {
        OperandCount(3);
        if (from != "f32" || _now.Has("sat") || _now.Has("ftz"))
        {
            throw Unknown();
        }

        var rounding = RoundingOf(Rounding.Nearest);
        var relu = _now.Has("relu");
        if (rounding == Rounding.Nearest && !relu)
        {
            var (first, second, target) = (Read(1, 32), Read(2, 32), Write(32));
            return to == "bf16x2"
                ? new Vectors2<uint, NarrowTwo<BFloat16Format>>(target, first, second)
                : new Vectors2<uint, NarrowTwo<Float16Format>>(target, first, second);
        }

        Func<float, uint> convert = (to, rounding) switch
        {
            ("bf16x2", _) => x => Floats.ToBFloat16(x, rounding),
            (_, _) => x => Floats.ToHalf(x, rounding),
        };
        Func<float, uint> half = relu ? x => convert(x < 0 ? 0 : x) : convert;
        return new Map<float, float, uint>(Write(32), Read(1, 32), Read(2, 32), (a, b) => half(a) << 16 | half(b));
    }
}
