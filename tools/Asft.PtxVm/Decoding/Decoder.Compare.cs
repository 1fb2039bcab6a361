using Asft.PtxVm.Arithmetic;
using Asft.PtxVm.Execution;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm.Decoding;

/// <summary>setp, set, selp, slct, testp.</summary>
internal sealed partial class Decoder
{
    private Operation? Compare(out InstructionClass kind)
    {
        kind = InstructionClass.Comparison;
        switch (_now.Opcode)
        {
            case "setp":
                return DecodeSetp();
            case "set":
                return DecodeSet();
            case "selp":
                OperandCount(4);
                return DecodeSelp();
            case "slct":
                OperandCount(4);
                return DecodeSlct();
            case "testp":
                OperandCount(2);
                return DecodeTestp();
            default:
                return null;
        }
    }

    // setp.lt.and.ftz.f32 p|q, a, b, !c
    private Operation DecodeSetp()
    {
        var type = _now.Modifiers[^1];
        var combination = CombinationOf(_now.Modifiers);
        OperandCount(combination == Combination.None ? 3 : 4);
        foreach (var modifier in _now.Modifiers[1..^1])
        {
            if (modifier is not ("and" or "or" or "xor" or "ftz"))
            {
                throw Unknown($"'.{modifier}' here");
            }
        }

        var other = combination == Combination.None ? -1 : Read(3, 1);
        var negated = combination != Combination.None && _now.Operands[3].Negated;
        var (a, b) = ReadCompared(type);
        if (type is "f16x2" or "bf16x2")
        {
            return DecodePackedSetp(type, a, b, combination, other, negated);
        }

        var target = _now.Operands[0];
        var (result, inverse) = target.Kind == OperandKind.Pair
            ? (WritePredicate(target.Parts[0]), WritePredicate(target.Parts[1]))
            : (Write(1), -1);
        return DecodeComparison(
            _now.Modifiers[0], type, a, b, new ComparisonTarget(result, inverse, combination, other, negated));
    }

    private int WritePredicate(Operand operand) => operand.Kind == OperandKind.Sink ? -1 : Write(operand, 1);

    private (int A, int B) ReadCompared(string type)
    {
        var bits = Bytes(type) * 8;
        return (Read(1, bits), Read(2, bits));
    }

    private static Combination CombinationOf(string[] modifiers) =>
        modifiers.Contains("and") ? Combination.And
            : modifiers.Contains("or") ? Combination.Or
            : modifiers.Contains("xor") ? Combination.Xor
            : Combination.None;

    // Each half against each half: the low one's result is p, the high one's q.
    private Sequence DecodePackedSetp(string type, int a, int b, Combination combination, int other, bool negated)
    {
        var target = _now.Operands[0];
        if (target.Kind != OperandKind.Pair)
        {
            throw Unknown();
        }

        var compare = CompareFloats(_now.Modifiers[0]);
        Func<uint, float> value = type == "f16x2" ? Floats.FromHalf : Floats.FromBFloat16;
        var low = new ComparisonTarget(WritePredicate(target.Parts[0]), -1, combination, other, negated);
        var high = new ComparisonTarget(WritePredicate(target.Parts[1]), -1, combination, other, negated);
        return new Sequence([
            new ComparisonMap<uint>(a, b, (x, y) => compare(value(x & 0xFFFF), value(y & 0xFFFF)), low),
            new ComparisonMap<uint>(a, b, (x, y) => compare(value(x >> 16), value(y >> 16)), high)]);
    }

    // set.lt.u32.f32 d, a, b: all ones, or 1.0
    private Sequence DecodeSet()
    {
        var combination = CombinationOf(_now.Modifiers);
        OperandCount(combination == Combination.None ? 3 : 4);
        var (type, result) = (_now.Modifiers[^1], _now.Modifiers[^2]);
        if (result is not ("u32" or "s32" or "f32"))
        {
            throw Unknown();
        }

        var other = combination == Combination.None ? -1 : Read(3, 1);
        var negated = combination != Combination.None && _now.Operands[3].Negated;
        var (a, b) = ReadCompared(type);
        var predicate = Take(1);
        var compare = DecodeComparison(
            _now.Modifiers[0], type, a, b, new ComparisonTarget(predicate, -1, combination, other, negated));
        var yes = Constant(32, result == "f32" ? 0x3F800000u : uint.MaxValue);
        return new Sequence([compare, new Select<uint>(Write(32), yes, Constant(32, 0), predicate)]);
    }

    private Operation DecodeComparison(string compare, string type, int a, int b, ComparisonTarget target)
    {
        switch (type)
        {
            case "f32":
                return _now.Has("ftz") ? FlushedComparison(compare, a, b, target) : FloatComparison<float>(compare, a, b, target);
            case "f64":
                return FloatComparison<double>(compare, a, b, target);
            case "f16" or "bf16":
                var function = CompareFloats(compare);
                return type == "f16"
                    ? new ComparisonMap<uint>(a, b, (x, y) => function(Floats.FromHalf(x), Floats.FromHalf(y)), target)
                    : new ComparisonMap<uint>(a, b, (x, y) => function(Floats.FromBFloat16(x), Floats.FromBFloat16(y)), target);
            case "u16" or "b16":
                return HalfComparison<uint>(compare, a, b, target);
            case "s16":
                return HalfComparison<int>(compare, a, b, target);
            case "u32" or "b32":
                return WholeComparison<uint>(compare, a, b, target);
            case "s32":
                return WholeComparison<int>(compare, a, b, target);
            case "u64" or "b64":
                return WholeComparison<ulong>(compare, a, b, target);
            case "s64":
                return WholeComparison<long>(compare, a, b, target);
            default:
                throw Unknown($"a comparison of '.{type}'");
        }
    }

    private static Operation WholeComparison<T>(string compare, int a, int b, ComparisonTarget target)
        where T : unmanaged => compare switch
        {
            "eq" => new Comparison<T, Equal<T>>(a, b, false, target),
            "ne" => new Comparison<T, Equal<T>>(a, b, true, target),
            "lt" or "lo" => new Comparison<T, Less<T>>(a, b, false, target),
            "le" or "ls" => new Comparison<T, LessOrEqual<T>>(a, b, false, target),
            "gt" or "hi" => new Comparison<T, Greater<T>>(a, b, false, target),
            "ge" or "hs" => new Comparison<T, GreaterOrEqual<T>>(a, b, false, target),
            _ => throw Unknown($"the comparison '.{compare}'"),
        };

    private static Operation HalfComparison<T>(string compare, int a, int b, ComparisonTarget target)
        where T : unmanaged => compare switch
        {
            "eq" => new Comparison<T, LowHalves<T, Equal<T>>>(a, b, false, target),
            "ne" => new Comparison<T, LowHalves<T, Equal<T>>>(a, b, true, target),
            "lt" or "lo" => new Comparison<T, LowHalves<T, Less<T>>>(a, b, false, target),
            "le" or "ls" => new Comparison<T, LowHalves<T, LessOrEqual<T>>>(a, b, false, target),
            "gt" or "hi" => new Comparison<T, LowHalves<T, Greater<T>>>(a, b, false, target),
            "ge" or "hs" => new Comparison<T, LowHalves<T, GreaterOrEqual<T>>>(a, b, false, target),
            _ => throw Unknown($"the comparison '.{compare}'"),
        };

    // Ordered comparisons fail on NaN; the ones that end in u are the opposites of ordered ones and hold on NaN.
    private static Operation FloatComparison<T>(string compare, int a, int b, ComparisonTarget target)
        where T : unmanaged => compare switch
        {
            "eq" => new Comparison<T, Equal<T>>(a, b, false, target),
            "ne" => new Comparison<T, LessOrGreater<T>>(a, b, false, target),
            "lt" => new Comparison<T, Less<T>>(a, b, false, target),
            "le" => new Comparison<T, LessOrEqual<T>>(a, b, false, target),
            "gt" => new Comparison<T, Greater<T>>(a, b, false, target),
            "ge" => new Comparison<T, GreaterOrEqual<T>>(a, b, false, target),
            "equ" => new Comparison<T, LessOrGreater<T>>(a, b, true, target),
            "neu" => new Comparison<T, Equal<T>>(a, b, true, target),
            "ltu" => new Comparison<T, GreaterOrEqual<T>>(a, b, true, target),
            "leu" => new Comparison<T, Greater<T>>(a, b, true, target),
            "gtu" => new Comparison<T, LessOrEqual<T>>(a, b, true, target),
            "geu" => new Comparison<T, Less<T>>(a, b, true, target),
            "num" => new Comparison<T, Ordered<T>>(a, b, false, target),
            "nan" => new Comparison<T, Ordered<T>>(a, b, true, target),
            _ => throw Unknown($"the comparison '.{compare}'"),
        };

    private static Operation FlushedComparison(string compare, int a, int b, ComparisonTarget target) => compare switch
    {
        "eq" => new Comparison<float, Flushed<Equal<float>>>(a, b, false, target),
        "ne" => new Comparison<float, Flushed<LessOrGreater<float>>>(a, b, false, target),
        "lt" => new Comparison<float, Flushed<Less<float>>>(a, b, false, target),
        "le" => new Comparison<float, Flushed<LessOrEqual<float>>>(a, b, false, target),
        "gt" => new Comparison<float, Flushed<Greater<float>>>(a, b, false, target),
        "ge" => new Comparison<float, Flushed<GreaterOrEqual<float>>>(a, b, false, target),
        "equ" => new Comparison<float, Flushed<LessOrGreater<float>>>(a, b, true, target),
        "neu" => new Comparison<float, Flushed<Equal<float>>>(a, b, true, target),
        "ltu" => new Comparison<float, Flushed<GreaterOrEqual<float>>>(a, b, true, target),
        "leu" => new Comparison<float, Flushed<Greater<float>>>(a, b, true, target),
        "gtu" => new Comparison<float, Flushed<LessOrEqual<float>>>(a, b, true, target),
        "geu" => new Comparison<float, Flushed<Less<float>>>(a, b, true, target),
        _ => FloatComparison<float>(compare, a, b, target), // num and nan: flushing changes nothing
    };

    private static Func<float, float, bool> CompareFloats(string compare) => compare switch
    {
        "eq" => (a, b) => a == b,
        "ne" => (a, b) => a < b || a > b,
        "lt" => (a, b) => a < b,
        "le" => (a, b) => a <= b,
        "gt" => (a, b) => a > b,
        "ge" => (a, b) => a >= b,
        "equ" => (a, b) => !(a < b || a > b),
        "neu" => (a, b) => a != b,
        "ltu" => (a, b) => !(a >= b),
        "leu" => (a, b) => !(a > b),
        "gtu" => (a, b) => !(a <= b),
        "geu" => (a, b) => !(a < b),
        "num" => (a, b) => !float.IsNaN(a) && !float.IsNaN(b),
        "nan" => (a, b) => float.IsNaN(a) || float.IsNaN(b),
        _ => throw Unknown($"the comparison '.{compare}'"),
    };

    private Operation DecodeSelp()
    {
        Only(_now.Modifiers[0]);
        var bits = Bytes(_now.Modifiers[0]) * 8;
        var (a, b) = (Read(1, bits), Read(2, bits));
        var predicate = Read(3, 1);
        (a, b) = _now.Operands[3].Negated ? (b, a) : (a, b);
        return bits == 64 ? new Select<ulong>(Write(64), a, b, predicate) : new Select<uint>(Write(bits), a, b, predicate);
    }

    // slct.f32.s32 d, a, b, c: c at least 0 ? a : b
    private Sequence DecodeSlct()
    {
        var by = _now.Modifiers[^1];
        if (by is not ("s32" or "f32"))
        {
            throw Unknown();
        }

        var bits = Bytes(_now.Modifiers[^2]) * 8;
        var predicate = Take(1);
        var compare = DecodeComparison(
            "ge", by, Read(3, 32), Constant(32, 0), new ComparisonTarget(predicate, -1, Combination.None, -1, false));
        var (a, b) = (Read(1, bits), Read(2, bits));
        Operation select = bits == 64 ? new Select<ulong>(Write(64), a, b, predicate) : new Select<uint>(Write(bits), a, b, predicate);
        return new Sequence([compare, select]);
    }

    private Operation DecodeTestp()
    {
        var (property, type) = (_now.Modifiers[0], _now.Modifiers[^1]);
        var target = new ComparisonTarget(Write(1), -1, Combination.None, -1, false);
        Func<double, bool> test = property switch
        {
            "finite" => double.IsFinite,
            "infinite" => double.IsInfinity,
            "number" => a => !double.IsNaN(a),
            "notanumber" => double.IsNaN,
            "normal" => double.IsNormal,
            "subnormal" => double.IsSubnormal,
            _ => throw Unknown(),
        };
        if (type == "f64")
        {
            var wide = Read(1, 64);
            return new ComparisonMap<double>(wide, wide, (a, _) => test(a), target);
        }

        var narrow = Read(1, 32);
        return new ComparisonMap<float>(narrow, narrow, property switch
        {
            "normal" => (a, _) => float.IsNormal(a),
            "subnormal" => (a, _) => float.IsSubnormal(a),
            _ => (a, _) => test(a),
        }, target);
    }
}
