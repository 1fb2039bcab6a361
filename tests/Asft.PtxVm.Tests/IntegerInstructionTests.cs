using System.Numerics;

namespace Asft.PtxVm.Tests;

/// <summary>Integer instructions, against big integers.</summary>
public class IntegerInstructionTests
{
    private static readonly (string Type, char Register, int Bits, bool Signed)[] Types =
    [
        ("u16", 'h', 16, false), ("s16", 'h', 16, true), ("u32", 'r', 32, false), ("s32", 'r', 32, true), ("u64", 'd', 64, false), ("s64", 'd', 64, true),
    ];

    [TestCase("add.{t}", 2)]
    [TestCase("sub.{t}", 2)]
    [TestCase("mul.lo.{t}", 2)]
    [TestCase("mul.hi.{t}", 2)]
    [TestCase("mad.lo.{t}", 3)]
    [TestCase("mad.hi.{t}", 3)]
    [TestCase("min.{t}", 2)]
    [TestCase("max.{t}", 2)]
    public void Arithmetic(string name, int operands)
    {
        Func<BigInteger, BigInteger, BigInteger, int, BigInteger> exact = name[..3] switch
        {
            "add" => (a, b, _, _) => a + b,
            "sub" => (a, b, _, _) => a - b,
            "min" => (a, b, _, _) => BigInteger.Min(a, b),
            "max" => (a, b, _, _) => BigInteger.Max(a, b),
            "mul" => (a, b, _, bits) => name.Contains("hi", StringComparison.Ordinal) ? (a * b) >> bits : a * b,
            _ => (a, b, c, bits) => (name.Contains("hi", StringComparison.Ordinal) ? (a * b) >> bits : a * b) + c,
        };
        foreach (var (type, register, bits, signed) in Types)
        {
            Check(name.Replace("{t}", type, StringComparison.Ordinal), new string(register, operands + 1), bits, bits, signed, (a, b, c) => exact(a, b, c, bits));
        }
    }

    [TestCase("mul.wide.u16", "rhh", 16, false)]
    [TestCase("mul.wide.s16", "rhh", 16, true)]
    [TestCase("mul.wide.u32", "drr", 32, false)]
    [TestCase("mul.wide.s32", "drr", 32, true)]
    public void WideProduct(string name, string registers, int bits, bool signed) =>
        Check(name, registers, bits, 2 * bits, signed, (a, b, _) => a * b);

    [TestCase("mad.wide.u32", false)]
    [TestCase("mad.wide.s32", true)]
    public void WideProductAndSum(string name, bool signed)
    {
        var (a, b) = Lanes.Pairs(Lanes.Integers());
        var c = Lanes.Integers(a.Length - 23);
        var results = Lanes.Run(name + " {d}, {a}, {b}, {c};", "drrd", a, b, c);
        for (var i = 0; i < a.Length; i++)
        {
            var expected = (ulong)(Value(a[i], 32, signed) * Value(b[i], 32, signed) + Value(c[i], 64, signed) & ulong.MaxValue);
            Assert.That(results[i], Is.EqualTo(expected));
        }
    }

    [TestCase("div")]
    [TestCase("rem")]
    public void Division(string name)
    {
        foreach (var (type, register, bits, signed) in Types)
        {
            Check(
                $"{name}.{type}", new string(register, 3), bits, bits, signed,
                (a, b, _) => name == "div" ? BigInteger.Divide(a, b) : BigInteger.Remainder(a, b),
                (_, b) => Value(b, bits, signed) != 0);
        }
    }

    [TestCase("neg", "s16", 'h', 16)]
    [TestCase("neg", "s32", 'r', 32)]
    [TestCase("neg", "s64", 'd', 64)]
    [TestCase("abs", "s16", 'h', 16)]
    [TestCase("abs", "s32", 'r', 32)]
    [TestCase("abs", "s64", 'd', 64)]
    public void Sign(string name, string type, char register, int bits) =>
        CheckOne($"{name}.{type}", new string(register, 2), bits, bits, true, a => name == "neg" ? -a : BigInteger.Abs(a));

    [TestCase("not.b16", 'h', 16)]
    [TestCase("not.b32", 'r', 32)]
    [TestCase("not.b64", 'd', 64)]
    [TestCase("cnot.b32", 'r', 32)]
    public void Not(string name, char register, int bits) =>
        CheckOne(name, new string(register, 2), bits, bits, false, a => name[0] == 'c' ? (a.IsZero ? 1 : 0) : (BigInteger.One << bits) - 1 - a);

    [TestCase("and")]
    [TestCase("or")]
    [TestCase("xor")]
    public void Logic(string name)
    {
        foreach (var (type, register, bits) in new[] { ("b16", 'h', 16), ("b32", 'r', 32), ("b64", 'd', 64) })
        {
            Check($"{name}.{type}", new string(register, 3), bits, bits, false, (a, b, _) => name switch { "and" => a & b, "or" => a | b, _ => a ^ b });
        }
    }

    [Test]
    public void Shifts()
    {
        foreach (var (type, register, bits, signed) in Types)
        {
            Check($"shr.{type}", $"{register}{register}r", bits, bits, signed, (a, b, _) => a >> Amount(b), bBits: 32, bSigned: false);
            Check($"shl.b{bits}", $"{register}{register}r", bits, bits, false, (a, b, _) => a << Amount(b), bBits: 32, bSigned: false);
        }

        static int Amount(BigInteger b) => (int)BigInteger.Min(b, 1000);
    }

    [TestCase("shf.l.wrap.b32")]
    [TestCase("shf.l.clamp.b32")]
    [TestCase("shf.r.wrap.b32")]
    [TestCase("shf.r.clamp.b32")]
    public void FunnelShift(string name) => Check(name, "rrrr", 32, 32, false, (a, b, c) =>
    {
        var amount = name.Contains("wrap", StringComparison.Ordinal) ? (int)(c & 31) : (int)BigInteger.Min(c, 32);
        var both = (b << 32) + a;
        return name[4] == 'l' ? both << amount >> 32 : both >> amount;
    });

    [Test]
    public void Counting()
    {
        foreach (var (suffix, register, bits) in new[] { ("32", 'r', 32), ("64", 'd', 64) })
        {
            CheckOne($"popc.b{suffix}", $"r{register}", bits, 32, false, a => Digits(a, bits).Count(digit => digit == '1'));
            CheckOne($"clz.b{suffix}", $"r{register}", bits, 32, false, a => Digits(a, bits).IndexOf('1') is var at && at < 0 ? bits : at);
            CheckOne($"brev.b{suffix}", $"{register}{register}", bits, bits, false, a => FromDigits(Digits(a, bits).Reverse()));
            CheckOne($"bfind.u{suffix}", $"r{register}", bits, 32, false, a => Digits(a, bits).IndexOf('1') is var at && at < 0 ? -1 : bits - 1 - at);
            CheckOne($"bfind.shiftamt.u{suffix}", $"r{register}", bits, 32, false, a => Digits(a, bits).IndexOf('1'));
            CheckOne($"bfind.s{suffix}", $"r{register}", bits, 32, false, a =>
            {
                var digits = Digits(a, bits);
                var at = digits.IndexOf(digits[0] == '1' ? '0' : '1');
                return at < 0 ? -1 : bits - 1 - at;
            });
        }
    }

    [Test]
    public void FieldExtraction()
    {
        foreach (var (type, register, bits, signed) in Types.Where(type => type.Bits >= 32))
        {
            Fields((value, position, length) =>
            {
                var result = Lanes.Run($"bfe.{type} {{d}}, {{a}}, {{b}}, {{c}};", $"{register}{register}rr", value, position, length);
                for (var i = 0; i < value.Length; i++)
                {
                    // as the PTX ISA puts it: bit by bit, and beyond the field or the top the sign bit
                    var (pos, len) = ((int)position[i], (int)length[i]);
                    var sign = signed && len > 0 && (value[i] >> Math.Min(pos + len - 1, bits - 1) & 1) != 0;
                    var expected = 0UL;
                    for (var bit = 0; bit < bits; bit++)
                    {
                        var one = bit < len && pos + bit < bits ? (value[i] >> (pos + bit) & 1) != 0 : sign;
                        expected |= one ? 1UL << bit : 0;
                    }

                    Assert.That(result[i], Is.EqualTo(expected), $"{type} of {value[i]:x} at {pos}, {len} bits");
                }
            });
        }
    }

    [TestCase("b32", 'r', 32)]
    [TestCase("b64", 'd', 64)]
    public void FieldInsertion(string type, char register, int bits) => Fields((value, position, length) =>
    {
        foreach (var into in new[] { 0UL, ulong.MaxValue, 0x0123456789ABCDEFUL })
        {
            var result = Lanes.Run($"mov.b{bits} {Name(5)}, {into & (bits == 64 ? ulong.MaxValue : uint.MaxValue)};\nbfi.{type} {{d}}, {{a}}, {Name(5)}, {{b}}, {{c}};", $"{register}{register}rr", value, position, length);
            for (var i = 0; i < value.Length; i++)
            {
                var expected = into & (bits == 64 ? ulong.MaxValue : uint.MaxValue);
                for (var bit = 0; bit < (int)length[i] && (int)position[i] + bit < bits; bit++)
                {
                    var at = (int)position[i] + bit;
                    expected = expected & ~(1UL << at) | (bit < bits ? value[i] >> bit & 1 : 0) << at;
                }

                Assert.That(result[i], Is.EqualTo(expected), $"{value[i]:x} at {position[i]}, {length[i]} bits");
            }
        }

        string Name(int index) => register == 'r' ? $"%r{index}" : $"%rd{index}";
    });

    [Test]
    public void Lookup()
    {
        for (var table = 0; table < 256; table += 7)
        {
            Check($"lop3.b32 {{d}}, {{a}}, {{b}}, {{c}}, {table};", "rrrr", 32, 32, false, (a, b, c) =>
            {
                var result = BigInteger.Zero;
                for (var bit = 0; bit < 32; bit++)
                {
                    var index = (int)((a >> bit & 1) * 4 + (b >> bit & 1) * 2 + (c >> bit & 1));
                    result += (BigInteger)(table >> index & 1) << bit;
                }

                return result;
            });
        }
    }

    [Test]
    public void Permutation()
    {
        var random = new Random(1);
        ulong[] Words(int count) => [.. Enumerable.Range(0, count).Select(_ => (ulong)(uint)random.Next(int.MinValue, int.MaxValue))];
        var (a, b, c) = (Words(500), Words(500), Words(500));
        var result = Lanes.Run("prmt.b32 {d}, {a}, {b}, {c};", "rrrr", a, b, c);
        for (var i = 0; i < a.Length; i++)
        {
            byte[] bytes = [.. BitConverter.GetBytes((uint)a[i]), .. BitConverter.GetBytes((uint)b[i])];
            var picked = Enumerable.Range(0, 4).Select(k =>
            {
                var selector = (int)(c[i] >> 4 * k & 15);
                return selector < 8 ? bytes[selector] : bytes[selector - 8] >= 128 ? (byte)255 : (byte)0;
            }).ToArray();
            Assert.That(result[i], Is.EqualTo(BitConverter.ToUInt32(picked)));
        }
    }

    [TestCase("sad.u32", false)]
    [TestCase("sad.s32", true)]
    public void SumOfDifferences(string name, bool signed) => Check(name, "rrrr", 32, 32, signed, (a, b, c) => c + BigInteger.Abs(a - b));

    [Test]
    public void SaturatingSum()
    {
        Check("add.sat.s32", "rrr", 32, 32, true, (a, b, _) => BigInteger.Min(int.MaxValue, BigInteger.Max(int.MinValue, a + b)));
        Check("sub.sat.s32", "rrr", 32, 32, true, (a, b, _) => BigInteger.Min(int.MaxValue, BigInteger.Max(int.MinValue, a - b)));
    }

    [Test]
    public void ConversionBetweenIntegers()
    {
        (string Type, char Register, int Bits, bool Signed)[] all = [("u8", 'r', 8, false), ("s8", 'r', 8, true), .. Types];
        foreach (var from in all)
        {
            foreach (var to in all)
            {
                var width = to.Bits == 8 ? 32 : to.Bits;
                CheckOne($"cvt.{to.Type}.{from.Type}", $"{to.Register}{from.Register}", from.Bits, width, from.Signed, a =>
                {
                    var low = a & ((BigInteger.One << to.Bits) - 1);
                    return to.Signed && !(low >> (to.Bits - 1)).IsZero ? low - (BigInteger.One << to.Bits) : low;
                });
                var least = to.Signed ? -(BigInteger.One << (to.Bits - 1)) : 0;
                var most = (BigInteger.One << (to.Signed ? to.Bits - 1 : to.Bits)) - 1;
                CheckOne($"cvt.sat.{to.Type}.{from.Type}", $"{to.Register}{from.Register}", from.Bits, width, from.Signed, a => BigInteger.Max(least, BigInteger.Min(most, a)));
            }
        }
    }

    [Test]
    public void Comparisons()
    {
        foreach (var (type, register, bits, signed) in Types)
        {
            foreach (var name in new[] { "eq", "ne", "lt", "le", "gt", "ge" })
            {
                Check($"setp.{name}.{type}", $"p{register}{register}", bits, 64, signed, (a, b, _) => Holds(name, a.CompareTo(b)) ? 1 : 0);
            }
        }

        foreach (var (name, order) in new[] { ("lo", "lt"), ("ls", "le"), ("hi", "gt"), ("hs", "ge") })
        {
            Check($"setp.{name}.u32", "prr", 32, 64, false, (a, b, _) => Holds(order, a.CompareTo(b)) ? 1 : 0);
        }

        static bool Holds(string name, int order) => name switch { "eq" => order == 0, "ne" => order != 0, "lt" => order < 0, "le" => order <= 0, "gt" => order > 0, _ => order >= 0 };
    }

    [TestCase("and")]
    [TestCase("or")]
    [TestCase("xor")]
    public void ComparisonsCombined(string name)
    {
        // p = (a < b) op !(c != 0), q = !(a < b) op !(c != 0)
        var (a, b) = Lanes.Pairs(Lanes.Integers());
        ulong[] c = [.. Enumerable.Range(0, a.Length).Select(i => (ulong)(i & 1))];
        var result = Lanes.Run($"setp.lt.{name}.s32 %p4|%p5, {{a}}, {{b}}, !{{c}};\nselp.u32 %r6, 1, 0, %p4;\nselp.u32 %r7, 2, 0, %p5;\nadd.u32 {{d}}, %r6, %r7;", "rrrp", a, b, c);
        for (var i = 0; i < a.Length; i++)
        {
            var (less, other) = ((int)a[i] < (int)b[i], c[i] == 0);
            bool Combine(bool x) => name switch { "and" => x & other, "or" => x | other, _ => x ^ other };
            Assert.That(result[i], Is.EqualTo((Combine(less) ? 1UL : 0) + (Combine(!less) ? 2UL : 0)));
        }
    }

    [Test]
    public void Selection()
    {
        Check("setp.lt.s32 %p5, {a}, {b};\nselp.b32 {d}, {a}, {c}, %p5;", "rrrr", 32, 32, true, (a, b, c) => a < b ? a : c);
        Check("setp.lt.s64 %p5, {a}, {b};\nselp.b64 {d}, {a}, {c}, %p5;", "dddd", 64, 64, true, (a, b, c) => a < b ? a : c);
        Check("setp.lt.s16 %p5, {a}, {b};\nselp.b16 {d}, {a}, {c}, !%p5;", "hhhh", 16, 16, true, (a, b, c) => a < b ? c : a);
        Check("slct.u32.s32 {d}, {a}, {b}, {c};", "rrrr", 32, 32, true, (a, b, c) => c >= 0 ? a : b);
        Check("set.lt.u32.s32 {d}, {a}, {b};", "rrr", 32, 32, true, (a, b, _) => a < b ? uint.MaxValue : 0);
    }

    [Test]
    public void PredicateLogic()
    {
        ulong[] a = [0, 0, 1, 1];
        ulong[] b = [0, 1, 0, 1];
        Assert.That(Lanes.Run("and.pred {d}, {a}, {b};", "ppp", a, b), Is.EqualTo(new ulong[] { 0, 0, 0, 1 }));
        Assert.That(Lanes.Run("or.pred {d}, {a}, {b};", "ppp", a, b), Is.EqualTo(new ulong[] { 0, 1, 1, 1 }));
        Assert.That(Lanes.Run("xor.pred {d}, {a}, {b};", "ppp", a, b), Is.EqualTo(new ulong[] { 0, 1, 1, 0 }));
        Assert.That(Lanes.Run("not.pred {d}, {a};", "pp", a), Is.EqualTo(new ulong[] { 1, 1, 0, 0 }));
        Assert.That(Lanes.Run("mov.pred {d}, {a};", "pp", a), Is.EqualTo(a));
        Assert.That(Lanes.Run("mov.pred {d}, -1;", "pp", a), Is.EqualTo(new ulong[] { 1, 1, 1, 1 }));
    }

    [Test]
    public void Packing()
    {
        ulong[] a = [0x0123456789ABCDEF, 0xFEDCBA9876543210];
        Assert.That(Lanes.Run("mov.b32 {%rs5, %rs6}, {a};\nmov.b32 {d}, {%rs6, %rs5};", "rr", a), Is.EqualTo(new ulong[] { 0xCDEF89AB, 0x32107654 }));
        Assert.That(Lanes.Run("mov.b64 {%r5, %r6}, {a};\nmov.b64 {d}, {%r6, %r5};", "dd", a), Is.EqualTo(new ulong[] { 0x89ABCDEF01234567, 0x76543210FEDCBA98 }));
        Assert.That(Lanes.Run("mov.b64 {%rs5, %rs6, %rs7, %rs8}, {a};\nmov.b64 {d}, {%rs8, %rs7, %rs6, %rs5};", "dd", a), Is.EqualTo(new ulong[] { 0xCDEF89AB45670123, 0x32107654BA98FEDC }));
        Assert.That(Lanes.Run("mov.b64 {_, %r6}, {a};\nmov.u32 {d}, %r6;", "rd", a), Is.EqualTo(new ulong[] { 0x01234567, 0xFEDCBA98 }));
        Assert.That(Lanes.Run("{ .reg .b32 lo, hi; mov.b64 {lo, hi}, {a}; add.u32 {d}, lo, hi; }", "rd", a), Is.EqualTo(new ulong[] { 0x01234567 + 0x89ABCDEF, unchecked(0xFEDCBA98 + 0x76543210) & uint.MaxValue }));
    }

    // Fields at every position and of every length, some of them beyond the top.
    private static void Fields(Action<ulong[], ulong[], ulong[]> check)
    {
        var random = new Random(3);
        foreach (var value in new[] { 0UL, ulong.MaxValue, 0x8000000080000000, (ulong)random.NextInt64() })
        {
            var all = Enumerable.Range(0, 70).SelectMany(position => Enumerable.Range(0, 70).Select(length => ((ulong)position, (ulong)length))).ToArray();
            check([.. all.Select(_ => value)], [.. all.Select(field => field.Item1)], [.. all.Select(field => field.Item2)]);
        }
    }

    private static string Digits(BigInteger a, int bits) => string.Concat(Enumerable.Range(0, bits).Select(i => (a >> (bits - 1 - i) & 1).IsOne ? '1' : '0'));

    private static BigInteger FromDigits(IEnumerable<char> digits) => digits.Aggregate(BigInteger.Zero, (sum, digit) => sum * 2 + (digit - '0'));

    private static BigInteger Value(ulong bits, int width, bool signed)
    {
        var low = width == 64 ? bits : bits & ((1UL << width) - 1);
        return signed && (low >> (width - 1) & 1) != 0 ? (BigInteger)low - (BigInteger.One << width) : low;
    }

    private static void CheckOne(string name, string registers, int bits, int resultBits, bool signed, Func<BigInteger, BigInteger> exact)
    {
        var a = Lanes.Integers(200);
        var results = Lanes.Run(name + " {d}, {a};", registers, a);
        for (var i = 0; i < a.Length; i++)
        {
            var expected = (ulong)(exact(Value(a[i], bits, signed)) & ((BigInteger.One << resultBits) - 1));
            Assert.That(results[i], Is.EqualTo(expected), $"{name} of {a[i]:x}");
        }
    }

    private static void Check(
        string name, string registers, int bits, int resultBits, bool signed, Func<BigInteger, BigInteger, BigInteger, BigInteger> exact,
        Func<ulong, ulong, bool>? allowed = null, int bBits = 0, bool? bSigned = null)
    {
        var (a, b) = Lanes.Pairs(Lanes.Integers());
        if (allowed is not null)
        {
            var kept = Enumerable.Range(0, a.Length).Where(i => allowed(a[i], b[i])).ToArray();
            (a, b) = ([.. kept.Select(i => a[i])], [.. kept.Select(i => b[i])]);
        }

        var c = Lanes.Integers(a.Length - 23);
        var instruction = name.Contains("{d}", StringComparison.Ordinal) ? name : name + (registers.Length == 4 ? " {d}, {a}, {b}, {c};" : " {d}, {a}, {b};");
        var results = Lanes.Run(instruction, registers, a, b, c);
        for (var i = 0; i < a.Length; i++)
        {
            var value = exact(Value(a[i], bits, signed), Value(b[i], bBits > 0 ? bBits : bits, bSigned ?? signed), Value(c[i], bits, signed));
            Assert.That(results[i], Is.EqualTo((ulong)(value & ((BigInteger.One << resultBits) - 1))), $"{name} of {a[i]:x}, {b[i]:x}, {c[i]:x}");
        }
    }
}
