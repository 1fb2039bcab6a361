using Asft.PtxVm.Arithmetic;
using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Decoding;

/// <summary>Floating point arithmetic.</summary>
internal sealed partial class Decoder
{
    private Operation? Floating(out InstructionClass kind)
    {
        var type = _now.Modifiers.Length > 0 ? _now.Modifiers[^1] : "";
        kind = _now.Opcode is "div" or "rcp" or "sqrt" or "rsqrt" or "ex2" or "lg2" or "sin" or "cos" or "tanh" ? InstructionClass.Transcendental
            : type == "f64" ? InstructionClass.Float64
            : InstructionClass.Float32;
        return type switch
        {
            "f32" => Float32(),
            "f64" => Float64(),
            "f16" or "bf16" => Float16(type, packed: false),
            "f16x2" or "bf16x2" => Float16(type, packed: true),
            _ => null,
        };
    }

    private Operation? Float32()
    {
        var flush = _now.Has("ftz");
        switch (_now.Opcode)
        {
            case "add" or "sub" or "mul":
                Only("rn", "rz", "rm", "rp", "ftz", "sat", "f32");
                OperandCount(3);
                return Sum32(flush);
            case "fma" or "mad":
                Only("rn", "rz", "rm", "rp", "ftz", "sat", "f32");
                OperandCount(4);
                return Fma32(flush);
            case "neg":
                Only("ftz", "f32");
                return flush
                    ? new Vectors1<float, NegF32<Flushing>>(Write(32), Read(1, 32))
                    : new Vectors1<float, NegF32<NotFlushing>>(Write(32), Read(1, 32));
            case "abs":
                Only("ftz", "f32");
                return flush
                    ? new Vectors1<float, AbsF32<Flushing>>(Write(32), Read(1, 32))
                    : new Vectors1<float, AbsF32<NotFlushing>>(Write(32), Read(1, 32));
            case "min" or "max":
                Only("ftz", "NaN", "f32");
                OperandCount(3);
                return Extremum32(flush);
            case "copysign":
                Only("f32");
                OperandCount(3);
                return new Map<uint, uint, uint>(
                    Write(32), Read(1, 32), Read(2, 32), (a, b) => (a & 0x80000000) | (b & 0x7FFFFFFF));
            case "div":
                Only("rn", "rz", "rm", "rp", "full", "approx", "ftz", "f32");
                OperandCount(3);
                return Division32(flush);
            case "rcp" or "sqrt" or "rsqrt" or "ex2" or "lg2" or "sin" or "cos" or "tanh":
                Only("rn", "rz", "rm", "rp", "approx", "ftz", "f32");
                OperandCount(2);
                return Function32(flush);
            default:
                return null;
        }
    }

    private Operation Sum32(bool flush)
    {
        var (a, b, d) = (Read(1, 32), Read(2, 32), Write(32));
        var rounding = RoundingOf(Rounding.Nearest);
        var saturates = _now.Has("sat");
        if (rounding == Rounding.Nearest && !saturates)
        {
            return (_now.Opcode, flush) switch
            {
                ("add", false) => new Vectors2<float, AddF32<NotFlushing>>(d, a, b),
                ("add", true) => new Vectors2<float, AddF32<Flushing>>(d, a, b),
                ("sub", false) => new Vectors2<float, SubF32<NotFlushing>>(d, a, b),
                ("sub", true) => new Vectors2<float, SubF32<Flushing>>(d, a, b),
                (_, false) => new Vectors2<float, MulF32<NotFlushing>>(d, a, b),
                _ => new Vectors2<float, MulF32<Flushing>>(d, a, b),
            };
        }

        Func<double, double, double> exact = _now.Opcode switch
        {
            "add" => (x, y) => Floats.Add(x, y, Format.Single, rounding),
            "sub" => (x, y) => Floats.Add(x, -y, Format.Single, rounding),
            _ => (x, y) => Floats.Multiply(x, y, Format.Single, rounding),
        };
        return new Map<float, float, float>(
            d, a, b, (x, y) => Finish32((float)exact(Floats.Flush(x, flush), Floats.Flush(y, flush)), flush, saturates));
    }

    private static float Finish32(float value, bool flush, bool saturates)
    {
        value = Floats.Flush(Floats.Canonical(value), flush);
        return saturates ? Floats.Saturate(value) : value;
    }

    private Operation Fma32(bool flush)
    {
        var (a, b, c, d) = (Read(1, 32), Read(2, 32), Read(3, 32), Write(32));
        var rounding = RoundingOf(Rounding.Nearest);
        var saturates = _now.Has("sat");
        if (rounding == Rounding.Nearest && !saturates)
        {
            return flush
                ? new Vectors3<float, FmaF32<Flushing>>(d, a, b, c)
                : new Vectors3<float, FmaF32<NotFlushing>>(d, a, b, c);
        }

        return new Map<float, float, float, float>(d, a, b, c, (x, y, z) => Finish32(
            (float)Floats.MultiplyAdd(
                Floats.Flush(x, flush), Floats.Flush(y, flush), Floats.Flush(z, flush), Format.Single, rounding), flush, saturates));
    }

    private Operation Extremum32(bool flush)
    {
        var (a, b, d) = (Read(1, 32), Read(2, 32), Write(32));
        var isMin = _now.Opcode == "min";
        if (_now.Has("NaN"))
        {
            Func<float, float, float> function = isMin ? Floats.MinNaN : Floats.MaxNaN;
            return new Map<float, float, float>(d, a, b, (x, y) => function(Floats.Flush(x, flush), Floats.Flush(y, flush)));
        }

        return (isMin, flush) switch
        {
            (true, false) => new Vectors2<float, MinF32<NotFlushing>>(d, a, b),
            (true, true) => new Vectors2<float, MinF32<Flushing>>(d, a, b),
            (false, false) => new Vectors2<float, MaxF32<NotFlushing>>(d, a, b),
            _ => new Vectors2<float, MaxF32<Flushing>>(d, a, b),
        };
    }

    private Operation Division32(bool flush)
    {
        var (a, b, d) = (Read(1, 32), Read(2, 32), Write(32));
        if (_now.Has("full") || _now.Has("approx"))
        {
            return new ApproximateDivision(d, a, b, flush);
        }

        var rounding = RoundingOf(Rounding.Nearest);
        return rounding == Rounding.Nearest
            ? new Map<float, float, float>(
                d, a, b, (x, y) => Finish32(Floats.Flush(x, flush) / Floats.Flush(y, flush), flush, false))
            : new Map<float, float, float>(
                d, a, b, (x, y) =>
                    Finish32(
                        (float)Floats.Divide(
                            Floats.Flush(x, flush), Floats.Flush(y, flush), Format.Single, rounding), flush, false));
    }

    private Operation Function32(bool flush)
    {
        var (a, d) = (Read(1, 32), Write(32));
        if (_now.Has("approx"))
        {
            if (_now.Opcode == "ex2")
            {
                return new Exponential(d, a, flush);
            }

            return new ApproximateMap(d, a, _now.Opcode switch
            {
                "rcp" => flush ? (approximate, x) => approximate.Rcp(x, true) : (approximate, x) => approximate.Rcp(x, false),
                "sqrt" => flush ? (approximate, x) => approximate.Sqrt(x, true) : (approximate, x) => approximate.Sqrt(x, false),
                "rsqrt" =>
                    flush ? (approximate, x) => approximate.Rsqrt(x, true) : (approximate, x) => approximate.Rsqrt(x, false),
                "lg2" => flush ? (approximate, x) => approximate.Lg2(x, true) : (approximate, x) => approximate.Lg2(x, false),
                "sin" => (approximate, x) => approximate.Sin(x, flush),
                "cos" => (approximate, x) => approximate.Cos(x, flush),
                _ => (approximate, x) => approximate.Tanh(x),
            });
        }

        var rounding = RoundingOf(Rounding.Nearest);
        return (_now.Opcode, rounding) switch
        {
            ("rcp", Rounding.Nearest) => new Map<float, float>(d, a, x => Finish32(1 / Floats.Flush(x, flush), flush, false)),
            ("rcp", _) =>
                new Map<float, float>(
                    d, a, x => Finish32((float)Floats.Divide(1, Floats.Flush(x, flush), Format.Single, rounding), flush, false)),
            ("sqrt", Rounding.Nearest) =>
                new Map<float, float>(d, a, x => Finish32(MathF.Sqrt(Floats.Flush(x, flush)), flush, false)),
            ("sqrt", _) =>
                new Map<float, float>(
                    d, a, x => Finish32((float)Floats.Sqrt(Floats.Flush(x, flush), Format.Single, rounding), flush, false)),
            _ => throw Unknown(),
        };
    }

    private Operation? Float64()
    {
        var rounding = RoundingOf(Rounding.Nearest);
        var nearest = rounding == Rounding.Nearest;
        switch (_now.Opcode)
        {
            case "add" or "sub" or "mul":
                Only("rn", "rz", "rm", "rp", "f64");
                OperandCount(3);
                var (a, b, d) = (Read(1, 64), Read(2, 64), Write(64));
                return (_now.Opcode, nearest) switch
                {
                    ("add", true) => new Vectors2<double, AddF64>(d, a, b),
                    ("sub", true) => new Vectors2<double, SubF64>(d, a, b),
                    (_, true) => new Vectors2<double, MulF64>(d, a, b),
                    ("add", _) => new Map<double, double, double>(d, a, b, (x, y) => Floats.Add(x, y, Format.Double, rounding)),
                    ("sub", _) => new Map<double, double, double>(d, a, b, (x, y) => Floats.Add(x, -y, Format.Double, rounding)),
                    _ => new Map<double, double, double>(d, a, b, (x, y) => Floats.Multiply(x, y, Format.Double, rounding)),
                };
            case "fma" or "mad":
                Only("rn", "rz", "rm", "rp", "f64");
                OperandCount(4);
                return nearest
                    ? new Vectors3<double, FmaF64>(Write(64), Read(1, 64), Read(2, 64), Read(3, 64))
                    : new Map<double, double, double, double>(
                        Write(64), Read(1, 64), Read(2, 64), Read(3, 64), (x, y, z) =>
                            Floats.MultiplyAdd(x, y, z, Format.Double, rounding));
            case "neg":
                Only("f64");
                return new Map<double, double>(Write(64), Read(1, 64), x => -x);
            case "abs":
                Only("f64");
                return new Map<double, double>(Write(64), Read(1, 64), Math.Abs);
            case "min" or "max":
                Only("f64");
                return new Map<double, double, double>(Write(64), Read(1, 64), Read(2, 64), _now.Opcode == "min"
                    ? Floats.Min
                    : Floats.Max);
            case "copysign":
                Only("f64");
                return new Map<double, double, double>(Write(64), Read(1, 64), Read(2, 64), (x, y) => Math.CopySign(y, x));
            case "div":
                Only("rn", "rz", "rm", "rp", "f64");
                return new Map<double, double, double>(Write(64), Read(1, 64), Read(2, 64), nearest
                    ? (x, y) => Floats.Canonical(x / y)
                    : (x, y) => Floats.Divide(x, y, Format.Double, rounding));
            case "rcp" when _now.Has("approx"):
                return new Map<double, double>(Write(64), Read(1, 64), Approximate.GrossReciprocal);
            case "rsqrt" when _now.Has("approx") && _now.Has("ftz"):
                return new Map<double, double>(Write(64), Read(1, 64), Approximate.GrossInverseRoot);
            case "rsqrt" when _now.Has("approx"):
                return new Map<double, double>(Write(64), Read(1, 64), x => Floats.Canonical(1 / Math.Sqrt(x)));
            case "rcp":
                Only("rn", "rz", "rm", "rp", "f64");
                return new Map<double, double>(Write(64), Read(1, 64), nearest
                    ? x => Floats.Canonical(1 / x)
                    : x => Floats.Divide(1, x, Format.Double, rounding));
            case "sqrt":
                Only("rn", "rz", "rm", "rp", "f64");
                return new Map<double, double>(Write(64), Read(1, 64), nearest
                    ? x => Floats.Canonical(Math.Sqrt(x))
                    : x => Floats.Sqrt(x, Format.Double, rounding));
            default:
                return null;
        }
    }

    private Operation PackedExtremum(bool isMin, bool isHalf)
    {
        OperandCount(3);
        var (a, b, d) = (Read(1, 32), Read(2, 32), Write(32));
        return (isMin, isHalf) switch
        {
            (true, true) => new Vectors2<uint, OnHalves<Float16Format, MinF32<NotFlushing>>>(d, a, b),
            (true, _) => new Vectors2<uint, OnHalves<BFloat16Format, MinF32<NotFlushing>>>(d, a, b),
            (false, true) => new Vectors2<uint, OnHalves<Float16Format, MaxF32<NotFlushing>>>(d, a, b),
            _ => new Vectors2<uint, OnHalves<BFloat16Format, MaxF32<NotFlushing>>>(d, a, b),
        };
    }

    private Operation? Float16(string type, bool packed)
    {
        Only("rn", "ftz", "sat", "relu", "NaN", "approx", type);
        var isHalf = type[0] == 'f';
        var format = isHalf ? Format.Half : Format.BFloat16;
        Func<uint, float> decode = isHalf ? Floats.FromHalf : Floats.FromBFloat16;
        var (flush, saturates, relu) = (_now.Has("ftz"), _now.Has("sat"), _now.Has("relu"));
        double Value(uint bits)
        {
            var value = decode(bits);
            return flush && (bits & (isHalf ? 0x7C00u : 0x7F80u)) == 0 ? (float.IsNegative(value) ? -0f : 0f) : value;
        }

        uint Bits(double value)
        {
            value = saturates ? Floats.Saturate(value) : relu && value < 0 ? 0 : value;
            var bits = isHalf ? Floats.ToHalf(value) : Floats.ToBFloat16(value, Rounding.Nearest);
            return flush && (bits & (isHalf ? 0x7C00u : 0x7F80u)) == 0 ? bits & 0x8000 : bits;
        }

        var bits = packed ? 32 : 16;
        switch (_now.Opcode)
        {
            case "fma":
                OperandCount(4);
                uint Fma(uint a, uint b, uint c) =>
                    Bits(Floats.MultiplyAdd(Value(a), Value(b), Value(c), format, Rounding.Nearest));
                return new Map<uint, uint, uint, uint>(Write(bits), Read(1, bits), Read(2, bits), Read(3, bits), packed
                    ? (a, b, c) => Fma(a & 0xFFFF, b & 0xFFFF, c & 0xFFFF) | Fma(a >> 16, b >> 16, c >> 16) << 16
                    : Fma);
            case "add" or "sub" or "mul":
                // exact in double, but for sums far apart, of which the far one decides nothing but the rounding
                return Binary(_now.Opcode switch
                {
                    "add" => (a, b) => Bits(Floats.Add(Value(a), Value(b), format, Rounding.Nearest)),
                    "sub" => (a, b) => Bits(Floats.Add(Value(a), -Value(b), format, Rounding.Nearest)),
                    _ => (a, b) => Bits(Value(a) * Value(b)),
                });
            case "min" or "max":
                var isMin = _now.Opcode == "min";
                if (packed && !_now.Has("NaN") && !flush)
                {
                    return PackedExtremum(isMin, isHalf);
                }

                return Binary(_now.Has("NaN")
                    ? (a, b) =>
                        Bits(isMin
                            ? Floats.MinNaN((float)Value(a), (float)Value(b))
                            : Floats.MaxNaN((float)Value(a), (float)Value(b)))
                    : (a, b) => Bits(isMin ? Floats.Min(Value(a), Value(b)) : Floats.Max(Value(a), Value(b))));
            case "neg":
                return Unary(x => Flushed(x) ^ 0x8000);
            case "abs":
                return Unary(x => Flushed(x) & 0x7FFF);
            case "ex2" when _now.Has("approx"):
                // sm_75 f16: 2^-9.9; sm_90 bf16: 2^-7
                var bound = isHalf ? Math.Pow(2, -9.9) : Math.Pow(2, -7);
                bound -= isHalf ? Math.Pow(2, -11) : Math.Pow(2, -8);
                return Approximated((approximate, x) => Bits(approximate.Ex2Half((float)Value(x), bound)));
            case "tanh" when _now.Has("approx"):
                return Approximated((approximate, x) => Bits(approximate.Tanh((float)Value(x))));
            default:
                return null;
        }

        uint Flushed(uint x) => flush && (x & (isHalf ? 0x7C00u : 0x7F80u)) == 0 ? x & 0x8000 : x;

        Operation Unary(Func<uint, uint> function)
        {
            OperandCount(2);
            return new Map<uint, uint>(Write(bits), Read(1, bits), packed
                ? a => function(a & 0xFFFF) | function(a >> 16) << 16
                : function);
        }

        Operation Binary(Func<uint, uint, uint> function)
        {
            OperandCount(3);
            return new Map<uint, uint, uint>(Write(bits), Read(1, bits), Read(2, bits), packed
                ? (a, b) => function(a & 0xFFFF, b & 0xFFFF) | function(a >> 16, b >> 16) << 16
                : function);
        }

        Operation Approximated(Func<Approximate, uint, uint> function)
        {
            OperandCount(2);
            return new ApproximateMap(Write(bits), Read(1, bits), packed
                ? (approximate, x) =>
                {
                    var both = BitConverter.SingleToUInt32Bits(x);
                    return BitConverter.UInt32BitsToSingle(
                        function(approximate, both & 0xFFFF) | function(approximate, both >> 16) << 16);
                }
            : (approximate, x) => BitConverter.UInt32BitsToSingle(function(approximate, BitConverter.SingleToUInt32Bits(x))));
        }
    }
}
