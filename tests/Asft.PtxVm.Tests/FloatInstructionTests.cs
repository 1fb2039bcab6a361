namespace Asft.PtxVm.Tests;

/// <summary>Floating point instructions, against exact fractions rounded once.</summary>
public class FloatInstructionTests
{
    private const uint NaN = 0x7FFFFFFF;

    private static readonly (string Name, Direction Direction)[] Roundings = [("rn", Direction.Nearest), ("rz", Direction.Zero), ("rm", Direction.Down), ("rp", Direction.Up)];

    [TestCase("add")]
    [TestCase("sub")]
    [TestCase("mul")]
    [TestCase("div")]
    public void Float32(string operation)
    {
        var values = Lanes.Singles(12);
        var (a, b) = Lanes.Pairs(Lanes.Bits(values));
        foreach (var (name, direction) in Roundings)
        {
            foreach (var flush in new[] { "", ".ftz" })
            {
                var result = Lanes.Run($"{operation}.{name}{flush}.f32 {{d}}, {{a}}, {{b}};", "fff", a, b);
                for (var i = 0; i < a.Length; i++)
                {
                    var expected = Expected(operation, Flushed(Lanes.Single(a[i]), flush), Flushed(Lanes.Single(b[i]), flush), direction);
                    Assert.That(result[i], Is.EqualTo(Bits(Flushed(expected, flush))), $"{operation}.{name}{flush} of {Lanes.Single(a[i]):g9} and {Lanes.Single(b[i]):g9}");
                }
            }
        }
    }

    [Test]
    public void Float32WithoutRounding()
    {
        var (a, b) = Lanes.Pairs(Lanes.Bits(Lanes.Singles(12)));
        foreach (var operation in new[] { "add", "sub", "mul" })
        {
            Assert.That(Lanes.Run($"{operation}.f32 {{d}}, {{a}}, {{b}};", "fff", a, b), Is.EqualTo(Lanes.Run($"{operation}.rn.f32 {{d}}, {{a}}, {{b}};", "fff", a, b)));
            var saturated = Lanes.Run($"{operation}.sat.f32 {{d}}, {{a}}, {{b}};", "fff", a, b);
            for (var i = 0; i < a.Length; i++)
            {
                var value = Expected(operation, Lanes.Single(a[i]), Lanes.Single(b[i]), Direction.Nearest);
                Assert.That(Lanes.Single(saturated[i]), Is.EqualTo(value > 0 ? Math.Min(value, 1) : 0));
            }
        }
    }

    [Test]
    public void Fma32()
    {
        var random = new Random(7);
        var values = Lanes.Singles(0);
        float Any() => random.Next(3) == 0 ? values[random.Next(values.Length)] : (float)((random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-60, 60)));
        float[] a = [.. Enumerable.Range(0, 3000).Select(_ => Any())];
        float[] b = [.. a.Select(_ => Any())];
        float[] c = [.. a.Select((_, i) => i % 3 == 0 ? -a[i] * b[i] : Any())]; // sums that nearly cancel: only what rounding dropped is left
        foreach (var (name, direction) in Roundings)
        {
            var result = Lanes.Run($"fma.{name}.f32 {{d}}, {{a}}, {{b}}, {{c}};", "ffff", Lanes.Bits(a), Lanes.Bits(b), Lanes.Bits(c));
            for (var i = 0; i < a.Length; i++)
            {
                Assert.That(result[i], Is.EqualTo(Bits(ExpectedFma(a[i], b[i], c[i], direction))), $"fma.{name} of {a[i]:g9}, {b[i]:g9}, {c[i]:g9}");
            }
        }
    }

    [TestCase("add")]
    [TestCase("sub")]
    [TestCase("mul")]
    [TestCase("div")]
    public void Float64(string operation)
    {
        var random = new Random(9);
        double[] a = [.. Enumerable.Range(0, 1000).Select(_ => (random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-50, 50)))];
        double[] b = [.. a.Select(_ => (random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-50, 50)))];
        foreach (var (name, direction) in Roundings)
        {
            var result = Lanes.Run($"{operation}.{name}.f64 {{d}}, {{a}}, {{b}};", "eee", Lanes.Bits(a), Lanes.Bits(b));
            for (var i = 0; i < a.Length; i++)
            {
                var exact = Exact(operation, Rational.Of(a[i]), Rational.Of(b[i]));
                Assert.That(BitConverter.UInt64BitsToDouble(result[i]), Is.EqualTo(exact.ToDouble(direction)), $"{operation}.{name} of {a[i]:g17} and {b[i]:g17}");
            }
        }
    }

    [Test]
    public void Fma64()
    {
        var random = new Random(10);
        double[] a = [.. Enumerable.Range(0, 1000).Select(_ => (random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-30, 30)))];
        double[] b = [.. a.Select(_ => random.NextDouble() - 0.5)];
        double[] c = [.. a.Select((_, i) => i % 2 == 0 ? -a[i] * b[i] * (1 + random.NextDouble() * 1e-14) : random.NextDouble())];
        foreach (var (name, direction) in Roundings)
        {
            var result = Lanes.Run($"fma.{name}.f64 {{d}}, {{a}}, {{b}}, {{c}};", "eeee", Lanes.Bits(a), Lanes.Bits(b), Lanes.Bits(c));
            for (var i = 0; i < a.Length; i++)
            {
                var exact = Rational.Of(a[i]) * Rational.Of(b[i]) + Rational.Of(c[i]);
                Assert.That(BitConverter.UInt64BitsToDouble(result[i]), Is.EqualTo(exact.ToDouble(direction)), $"fma.{name} of {a[i]:g17}, {b[i]:g17}, {c[i]:g17}");
            }
        }
    }

    [Test]
    public void SpecialFloat64()
    {
        var (a, b) = Lanes.Pairs(Lanes.Bits(Lanes.Doubles(0)));
        Func<double, double, double>[] functions = [(x, y) => x + y, (x, y) => x - y, (x, y) => x * y, (x, y) => x / y];
        foreach (var (name, function) in new[] { "add", "sub", "mul", "div.rn" }.Zip(functions))
        {
            var result = Lanes.Run($"{name}.f64 {{d}}, {{a}}, {{b}};", "eee", a, b);
            for (var i = 0; i < a.Length; i++)
            {
                var expected = function(BitConverter.UInt64BitsToDouble(a[i]), BitConverter.UInt64BitsToDouble(b[i]));
                Assert.That(result[i], Is.EqualTo(double.IsNaN(expected) ? 0x7FFFFFFFFFFFFFFF : BitConverter.DoubleToUInt64Bits(expected)), $"{name} {a[i]:x} {b[i]:x}");
            }
        }
    }

    [TestCase("rcp")]
    [TestCase("sqrt")]
    public void Roots(string operation)
    {
        var random = new Random(11);
        float[] values = [.. Lanes.Singles(200), .. Enumerable.Range(1, 40).Select(i => (float)i * i)];
        foreach (var (name, direction) in Roundings)
        {
            var result = Lanes.Run($"{operation}.{name}.f32 {{d}}, {{a}};", "ff", Lanes.Bits(values));
            for (var i = 0; i < values.Length; i++)
            {
                var a = values[i];
                var got = Lanes.Single(result[i]);
                if (operation == "rcp")
                {
                    Assert.That(result[i], Is.EqualTo(Bits(Expected("div", 1, a, direction))), $"rcp.{name} of {a:g9}");
                }
                else if (!(a > 0) || float.IsInfinity(a))
                {
                    Assert.That(result[i], Is.EqualTo(Bits(MathF.Sqrt(a))), $"sqrt.{name} of {a:g9}");
                }
                else
                {
                    // the root is where the square crosses a
                    var square = Rational.Of(got) * Rational.Of(got);
                    var order = -square.CompareTo(a);
                    var (below, above) = order < 0 ? (MathF.BitDecrement(got), got) : (got, MathF.BitIncrement(got));
                    var half = Rational.Of(((double)below + above) / 2);
                    var right = direction switch
                    {
                        Direction.Nearest => (half * half).CompareTo(a) is var side && (order == 0 || (order > 0 ? side > 0 : side < 0)),
                        Direction.Up => order <= 0 && (Rational.Of(MathF.BitDecrement(got)) * Rational.Of(MathF.BitDecrement(got))).CompareTo(a) < 0,
                        _ => order >= 0 && (Rational.Of(MathF.BitIncrement(got)) * Rational.Of(MathF.BitIncrement(got))).CompareTo(a) > 0,
                    };
                    Assert.That(right, $"sqrt.{name} of {a:g9} gave {got:g9}");
                }
            }
        }
    }

    [TestCase("min", "")]
    [TestCase("max", "")]
    [TestCase("min", ".NaN")]
    [TestCase("max", ".NaN")]
    public void Extrema(string operation, string mode)
    {
        var (a, b) = Lanes.Pairs(Lanes.Bits(Lanes.Singles(8)));
        foreach (var flush in new[] { "", ".ftz" })
        {
            var result = Lanes.Run($"{operation}{flush}{mode}.f32 {{d}}, {{a}}, {{b}};", "fff", a, b);
            for (var i = 0; i < a.Length; i++)
            {
                var (x, y) = (Flushed(Lanes.Single(a[i]), flush), Flushed(Lanes.Single(b[i]), flush));
                Assert.That(result[i], Is.EqualTo(Bits(Extremum(operation, x, y, mode.Length > 0))), $"{operation}{flush}{mode} of {x:g9} and {y:g9}");
            }
        }

        if (mode.Length == 0)
        {
            var (c, d) = Lanes.Pairs(Lanes.Bits(Lanes.Doubles(8)));
            var wide = Lanes.Run($"{operation}.f64 {{d}}, {{a}}, {{b}};", "eee", c, d);
            for (var i = 0; i < c.Length; i++)
            {
                var (x, y) = (BitConverter.UInt64BitsToDouble(c[i]), BitConverter.UInt64BitsToDouble(d[i]));
                var smaller = x == y ? double.IsNegative(x) : x < y;
                var expected = double.IsNaN(x) ? y : double.IsNaN(y) ? x : operation == "min" == smaller ? x : y;
                Assert.That(wide[i], Is.EqualTo(double.IsNaN(expected) ? 0x7FFFFFFFFFFFFFFF : BitConverter.DoubleToUInt64Bits(expected)), $"{operation}.f64 of {x:g17} and {y:g17}");
            }
        }
    }

    [Test]
    public void Signs()
    {
        var bits = Lanes.Bits(Lanes.Singles());
        var (negated, absolute, flushed) = (Lanes.Run("neg.f32 {d}, {a};", "ff", bits), Lanes.Run("abs.f32 {d}, {a};", "ff", bits), Lanes.Run("abs.ftz.f32 {d}, {a};", "ff", bits));
        for (var i = 0; i < bits.Length; i++)
        {
            Assert.That(negated[i], Is.EqualTo(bits[i] ^ 0x80000000));
            Assert.That(absolute[i], Is.EqualTo(bits[i] & 0x7FFFFFFF));
            Assert.That(flushed[i], Is.EqualTo((bits[i] & 0x7F800000) == 0 ? 0 : bits[i] & 0x7FFFFFFF));
        }

        ulong[] one = Lanes.Bits([3f, -3f, 3f, -3f]);
        ulong[] other = Lanes.Bits([1f, 1f, -1f, -0f]);
        Assert.That(Lanes.Run("copysign.f32 {d}, {b}, {a};", "fff", one, other).Select(Lanes.Single), Is.EqualTo(new[] { 3f, 3f, -3f, -3f }));
        var wide = Lanes.Bits(Lanes.Doubles());
        Assert.That(Lanes.Run("neg.f64 {d}, {a};", "ee", wide), Is.EqualTo(wide.Select(value => value ^ 0x8000000000000000)));
        Assert.That(Lanes.Run("abs.f64 {d}, {a};", "ee", wide), Is.EqualTo(wide.Select(value => value & 0x7FFFFFFFFFFFFFFF)));
    }

    [TestCase("eq")]
    [TestCase("ne")]
    [TestCase("lt")]
    [TestCase("le")]
    [TestCase("gt")]
    [TestCase("ge")]
    [TestCase("equ")]
    [TestCase("neu")]
    [TestCase("ltu")]
    [TestCase("leu")]
    [TestCase("gtu")]
    [TestCase("geu")]
    [TestCase("num")]
    [TestCase("nan")]
    public void Comparisons(string compare)
    {
        var (a, b) = Lanes.Pairs(Lanes.Bits(Lanes.Singles(8)));
        foreach (var flush in new[] { "", ".ftz" })
        {
            var result = Lanes.Run($"setp.{compare}{flush}.f32 {{d}}, {{a}}, {{b}};", "pff", a, b);
            for (var i = 0; i < a.Length; i++)
            {
                var (x, y) = (Flushed(Lanes.Single(a[i]), flush), Flushed(Lanes.Single(b[i]), flush));
                Assert.That(result[i], Is.EqualTo(Holds(compare, x, y) ? 1 : 0), $"{x:g9} {compare} {y:g9}");
            }
        }

        var (c, d) = Lanes.Pairs(Lanes.Bits(Lanes.Doubles(4)));
        var wide = Lanes.Run($"setp.{compare}.f64 {{d}}, {{a}}, {{b}};", "pee", c, d);
        var halves = Lanes.Integers(20).Select(value => value & 0xFFFF).Concat((ulong[])[0x7C00, 0xFC00, 0x7E00, 0x8000, 0]).ToArray();
        var (e, f) = Lanes.Pairs(halves);
        var half = Lanes.Run($"setp.{compare}.f16 {{d}}, {{a}}, {{b}};", "phh", e, f);
        Assert.Multiple(() =>
        {
            for (var i = 0; i < c.Length; i++)
            {
                Assert.That(wide[i], Is.EqualTo(Holds(compare, BitConverter.UInt64BitsToDouble(c[i]), BitConverter.UInt64BitsToDouble(d[i])) ? 1 : 0));
            }

            for (var i = 0; i < e.Length; i++)
            {
                Assert.That(half[i], Is.EqualTo(Holds(compare, Half(e[i]), Half(f[i])) ? 1 : 0));
            }
        });
    }

    [Test]
    public void Properties()
    {
        var values = Lanes.Singles();
        foreach (var (name, holds) in new (string, Func<float, bool>)[]
        {
            ("finite", float.IsFinite), ("infinite", float.IsInfinity), ("number", value => !float.IsNaN(value)), ("notanumber", float.IsNaN),
            ("normal", float.IsNormal), ("subnormal", float.IsSubnormal),
        })
        {
            Assert.That(Lanes.Run($"testp.{name}.f32 {{d}}, {{a}};", "pf", Lanes.Bits(values)), Is.EqualTo(values.Select(value => holds(value) ? 1UL : 0)));
        }
    }

    [TestCase("f16")]
    [TestCase("bf16")]
    public void SixteenBits(string type)
    {
        var random = new Random(13);
        ulong[] Any() => [.. Enumerable.Range(0, 4000).Select(i => (ulong)(i % 5 == 0 ? new[] { 0, 0x8000, 0x3C00, 0x3F80, 0x7C00, 0x7F80, 0xFC00, 0xFF80, 0x7FFF, 1, 0x8001, 0x7BFF, 0x7F7F, 0x03FF, 0x007F }[random.Next(15)] : random.Next(65536)))];
        var (a, b, c) = (Any(), Any(), Any());
        Compare("fma.rn", "hhhh", (x, y, z) => Rounded(type, x, y, z));
        Compare("max", "hhh", (x, y, _) => Encode(type, Extremum("max", x, y, false)));
        Compare("min.NaN", "hhh", (x, y, _) => Encode(type, Extremum("min", x, y, true)));
        if (type == "f16")
        {
            Compare("add", "hhh", (x, y, _) => Rounded(type, x, 1, y));
            Compare("sub", "hhh", (x, y, _) => Rounded(type, x, 1, -y));
            Compare("mul", "hhh", (x, y, _) => Rounded(type, x, y, x * y < 0 || x * y == 0 && double.IsNegative(x * y) ? -0.0 : 0.0));
        }

        Assert.That(Lanes.Run($"neg.{type} {{d}}, {{a}};", "hh", a), Is.EqualTo(a.Select(value => value ^ 0x8000)));
        Assert.That(Lanes.Run($"abs.{type} {{d}}, {{a}};", "hh", a), Is.EqualTo(a.Select(value => value & 0x7FFF)));

        void Compare(string name, string registers, Func<double, double, double, ulong> expected)
        {
            var operands = registers.Length == 4 ? "{d}, {a}, {b}, {c}" : "{d}, {a}, {b}";
            var single = Lanes.Run($"{name}.{type} {operands};", registers, a, b, c);
            ulong[] Pair(ulong[] values) => [.. values.Select((value, i) => value | values[values.Length - 1 - i] << 16)];
            var packed = Lanes.Run($"{name}.{type}x2 {operands};", registers.Replace('h', 'r'), Pair(a), Pair(b), Pair(c));
            for (var i = 0; i < a.Length; i++)
            {
                Assert.That(single[i], Is.EqualTo(expected(Decode(type, a[i]), Decode(type, b[i]), Decode(type, c[i]))), $"{name}.{type} of {a[i]:x4}, {b[i]:x4}, {c[i]:x4}");
            }

            Assert.That(packed, Is.EqualTo(Pair(single)), $"{name}.{type}x2");
        }
    }

    // a * b + c rounded once to the type
    private static ulong Rounded(string type, double a, double b, double c)
    {
        if (!double.IsFinite(a) || !double.IsFinite(b) || !double.IsFinite(c))
        {
            return Encode(type, a * b + c);
        }

        var exact = Rational.Of(a) * Rational.Of(b) + Rational.Of(c);
        if (exact.Numerator.IsZero)
        {
            return Encode(type, a * b + c); // only the sign is to find
        }

        var rounded = type == "f16" ? exact.ToHalf() : exact.ToBFloat16();
        return Encode(type, exact.Numerator.Sign < 0 && rounded == 0 ? -0.0 : rounded);
    }

    private static double Decode(string type, ulong bits) => type == "f16" ? Half(bits) : BitConverter.UInt32BitsToSingle((uint)bits << 16);

    // of a number that the type holds
    private static ulong Encode(string type, double value) => double.IsNaN(value) ? 0x7FFF
        : type == "f16" ? BitConverter.HalfToUInt16Bits((Half)value)
        : BitConverter.SingleToUInt32Bits((float)value) >> 16;

    private static double Half(ulong bits) => (double)BitConverter.UInt16BitsToHalf((ushort)bits);

    private static uint Bits(float value) => float.IsNaN(value) ? NaN : BitConverter.SingleToUInt32Bits(value);

    private static float Flushed(float value, string flush) => flush.Length > 0 && float.IsSubnormal(value) ? MathF.CopySign(0, value) : value;

    private static float Extremum(string operation, double a, double b, bool propagates)
    {
        if (double.IsNaN(a) || double.IsNaN(b))
        {
            return propagates ? float.NaN : (float)(double.IsNaN(a) ? b : a);
        }

        var smaller = a == b ? double.IsNegative(a) : a < b; // -0 is below +0
        return (float)((operation == "min") == smaller ? a : b);
    }

    private static bool Holds(string compare, double a, double b)
    {
        var unordered = double.IsNaN(a) || double.IsNaN(b);
        return compare switch
        {
            "num" => !unordered,
            "nan" => unordered,
            _ when compare.Length == 3 => unordered || Holds(compare[..2], a, b),
            "eq" => a == b,
            "ne" => !unordered && a != b,
            "lt" => a < b,
            "le" => a <= b,
            "gt" => a > b,
            _ => a >= b,
        };
    }

    private static Rational Exact(string operation, Rational a, Rational b) => operation switch
    {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        _ => a / b,
    };

    private static float Expected(string operation, float a, float b, Direction direction)
    {
        var special = operation switch { "add" => a + b, "sub" => a - b, "mul" => a * b, _ => a / b };
        if (!float.IsFinite(a) || !float.IsFinite(b) || operation == "div" && b == 0)
        {
            return special;
        }

        var exact = Exact(operation, Rational.Of(a), Rational.Of(b));
        if (exact.Numerator.IsZero)
        {
            // x - x is -0 when rounding down
            var cancels = operation is "add" or "sub" && a != 0;
            return cancels && direction == Direction.Down || special == 0 && operation is "add" or "sub" && float.IsNegative(a) != float.IsNegative(operation == "add" ? b : -b) && direction == Direction.Down ? -0f : special;
        }

        var rounded = exact.ToSingle(direction);
        return exact.Numerator.Sign < 0 && rounded == 0 ? -0f : rounded;
    }

    private static float ExpectedFma(float a, float b, float c, Direction direction)
    {
        var special = (float)((double)a * b + c);
        if (!float.IsFinite(a) || !float.IsFinite(b) || !float.IsFinite(c))
        {
            return special;
        }

        var exact = Rational.Of(a) * Rational.Of(b) + Rational.Of(c);
        if (exact.Numerator.IsZero)
        {
            var negativeProduct = float.IsNegative(a) != float.IsNegative(b);
            return negativeProduct == float.IsNegative(c) ? (negativeProduct ? -0f : 0f) : direction == Direction.Down ? -0f : 0f;
        }

        var rounded = exact.ToSingle(direction);
        return exact.Numerator.Sign < 0 && rounded == 0 ? -0f : rounded;
    }
}
