using System.Numerics;

namespace Asft.PtxVm.Tests;

/// <summary>cvt to and from floating point types.</summary>
public class ConversionTests
{
    private static readonly (string Name, Direction Direction)[] Roundings = [("rn", Direction.Nearest), ("rz", Direction.Zero)];

    // bfloat16 and float16 of every float32 that matters: around ties, subnormals, overflow
    private static readonly float[] Near = [.. Lanes.Singles(3000), .. Ties()];

    [TestCase("f16")]
    [TestCase("bf16")]
    public void FromFloat32(string type)
    {
        foreach (var (name, direction) in Roundings)
        {
            var result = Lanes.Run($"cvt.{name}.{type}.f32 {{d}}, {{a}};", "hf", Lanes.Bits(Near));
            for (var i = 0; i < Near.Length; i++)
            {
                Assert.That(result[i], Is.EqualTo(Expected(type, Near[i], direction)), $"cvt.{name}.{type} of {Near[i]:g9}");
            }

            var reversed = Near.Reverse().ToArray();
            var packed = Lanes.Run($"cvt.{name}.{type}x2.f32 {{d}}, {{a}}, {{b}};", "rff", Lanes.Bits(Near), Lanes.Bits(reversed));
            Assert.That(packed, Is.EqualTo(result.Select((value, i) => value << 16 | result[result.Length - 1 - i])));
        }

        var rectified = Lanes.Run($"cvt.rn.relu.{type}.f32 {{d}}, {{a}};", "hf", Lanes.Bits(Near));
        Assert.That(rectified, Is.EqualTo(Near.Select(value => Expected(type, value < 0 ? 0 : value, Direction.Nearest) is var bits && bits == 0x8000 ? 0x8000 : bits)));
    }

    [Test]
    public void EveryHalf()
    {
        ulong[] all = [.. Enumerable.Range(0, 65536).Select(i => (ulong)i)];
        var wide = Lanes.Run("cvt.f32.f16 {d}, {a};", "fh", all);
        var shifted = Lanes.Run("cvt.f32.bf16 {d}, {a};", "fh", all);
        Assert.Multiple(() =>
        {
            for (var i = 0; i < all.Length; i++)
            {
                var half = (float)BitConverter.UInt16BitsToHalf((ushort)i);
                Assert.That(wide[i], Is.EqualTo(float.IsNaN(half) ? 0x7FFFFFFF : BitConverter.SingleToUInt32Bits(half)));
                Assert.That(shifted[i], Is.EqualTo(float.IsNaN(BitConverter.UInt32BitsToSingle((uint)i << 16)) ? 0x7FFFFFFF : (uint)i << 16));
            }
        });

        // and back: every number of a type comes back as it was
        var back = Lanes.Run("cvt.f32.f16 %f5, {a};\ncvt.rn.f16.f32 {d}, %f5;", "hh", all);
        Assert.That(back, Is.EqualTo(all.Select(bits => (bits & 0x7FFF) > 0x7C00 ? 0x7FFF : bits)));
    }

    [TestCase("rn", Direction.Nearest)]
    [TestCase("rz", Direction.Zero)]
    [TestCase("rm", Direction.Down)]
    [TestCase("rp", Direction.Up)]
    public void FromFloat64(string rounding, Direction direction)
    {
        var random = new Random(15);
        double[] values = [.. Lanes.Doubles(2000), .. Enumerable.Range(0, 2000).Select(_ => (random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-160, 140)))];
        var result = Lanes.Run($"cvt.{rounding}.f32.f64 {{d}}, {{a}};", "fe", Lanes.Bits(values));
        for (var i = 0; i < values.Length; i++)
        {
            var a = values[i];
            var expected = !double.IsFinite(a) || a == 0 ? (float)a : MathF.CopySign(Rational.Of(a).ToSingle(direction), a < 0 ? -1f : 1f);
            Assert.That(result[i], Is.EqualTo(float.IsNaN(expected) ? 0x7FFFFFFF : BitConverter.SingleToUInt32Bits(expected)), $"cvt.{rounding}.f32.f64 of {a:g17}");
        }
    }

    [Test]
    public void Widening()
    {
        var values = Lanes.Singles(500);
        var result = Lanes.Run("cvt.f64.f32 {d}, {a};", "ef", Lanes.Bits(values));
        Assert.That(result, Is.EqualTo(values.Select(value => float.IsNaN(value) ? 0x7FFFFFFFFFFFFFFF : BitConverter.DoubleToUInt64Bits(value))));
        var flushed = Lanes.Run("cvt.ftz.f32.f32 {d}, {a};", "ff", Lanes.Bits(values));
        Assert.That(flushed, Is.EqualTo(Lanes.Bits(values.Select(value => float.IsSubnormal(value) ? MathF.CopySign(0, value) : float.IsNaN(value) ? BitConverter.UInt32BitsToSingle(0x7FFFFFFF) : value))));
        var saturated = Lanes.Run("cvt.sat.f32.f32 {d}, {a};", "ff", Lanes.Bits(values));
        Assert.That(saturated.Select(Lanes.Single), Is.EqualTo(values.Select(value => value > 0 ? Math.Min(value, 1) : 0)));
    }

    [TestCase("rni", MidpointRounding.ToEven)]
    [TestCase("rzi", MidpointRounding.ToZero)]
    [TestCase("rmi", MidpointRounding.ToNegativeInfinity)]
    [TestCase("rpi", MidpointRounding.ToPositiveInfinity)]
    public void ToIntegers(string rounding, MidpointRounding mode)
    {
        float[] values = [.. Lanes.Singles(300), .. Enumerable.Range(-20, 41).Select(i => i / 4f), 127.5f, 255.5f, 32767.5f, 65535.5f, 4294967296f, 4294967040f, 1.8446744e19f, 9.2233720e18f];
        var integral = Lanes.Run($"cvt.{rounding}.f32.f32 {{d}}, {{a}};", "ff", Lanes.Bits(values));
        for (var i = 0; i < values.Length; i++)
        {
            var rounded = MathF.Round(values[i], mode);
            Assert.That(integral[i], Is.EqualTo(float.IsNaN(rounded) ? 0x7FFFFFFF : BitConverter.SingleToUInt32Bits(rounded)), $"{values[i]:g9}");
        }

        foreach (var (type, register, bits, signed) in new[] { ("u8", 'r', 8, false), ("s8", 'r', 8, true), ("u16", 'h', 16, false), ("s16", 'h', 16, true), ("u32", 'r', 32, false), ("s32", 'r', 32, true), ("u64", 'd', 64, false), ("s64", 'd', 64, true) })
        {
            var least = signed ? -BigInteger.Pow(2, bits - 1) : 0;
            var most = BigInteger.Pow(2, signed ? bits - 1 : bits) - 1;
            var width = bits == 8 ? 32 : bits;
            ulong Expected(double value) => (ulong)((double.IsNaN(value) ? 0
                : double.IsInfinity(value) ? (value > 0 ? most : least)
                : BigInteger.Max(least, BigInteger.Min(most, (BigInteger)Math.Round(value, mode)))) & (BigInteger.Pow(2, width) - 1));
            Assert.That(Lanes.Run($"cvt.{rounding}.{type}.f32 {{d}}, {{a}};", $"{register}f", Lanes.Bits(values)), Is.EqualTo(values.Select(value => Expected(value))), type);
            double[] wide = [.. values.Select(value => (double)value), 9223372036854774784.0, -9223372036854775808.0, 18446744073709549568.0, 1e30];
            Assert.That(Lanes.Run($"cvt.{rounding}.{type}.f64 {{d}}, {{a}};", $"{register}e", Lanes.Bits(wide)), Is.EqualTo(wide.Select(Expected)), type);
        }
    }

    [Test]
    public void FromIntegers()
    {
        ulong[] values = [.. Lanes.Integers(1000), 16777217, 16777219, 33554434, 0x7FFFFFBF, 0x7FFFFFC0, 0xFFFFFF7F, 0xFFFFFF80, 0x8000008000000000, 0x8000008000000001, 9007199254740993];
        foreach (var (type, register, bits, signed) in new[] { ("u16", 'h', 16, false), ("s16", 'h', 16, true), ("u32", 'r', 32, false), ("s32", 'r', 32, true), ("u64", 'd', 64, false), ("s64", 'd', 64, true) })
        {
            BigInteger Value(ulong value)
            {
                var low = value & (bits == 64 ? ulong.MaxValue : (1UL << bits) - 1);
                return signed && (low >> (bits - 1) & 1) != 0 ? (BigInteger)low - BigInteger.Pow(2, bits) : low;
            }

            foreach (var (rounding, direction) in new[] { ("rn", Direction.Nearest), ("rz", Direction.Zero), ("rm", Direction.Down), ("rp", Direction.Up) })
            {
                var result = Lanes.Run($"cvt.{rounding}.f32.{type} {{d}}, {{a}};", $"f{register}", values);
                for (var i = 0; i < values.Length; i++)
                {
                    Assert.That(Lanes.Single(result[i]), Is.EqualTo(new Rational(Value(values[i]), 1).ToSingle(direction)), $"cvt.{rounding}.f32.{type} of {Value(values[i])}");
                }
            }

            var wide = Lanes.Run($"cvt.rn.f64.{type} {{d}}, {{a}};", $"e{register}", values);
            for (var i = 0; i < values.Length; i++)
            {
                var value = Value(values[i]);
                Assert.That(BitConverter.UInt64BitsToDouble(wide[i]), Is.EqualTo(value.IsZero ? 0 : new Rational(value, 1).ToDouble(Direction.Nearest)), $"cvt.rn.f64.{type} of {value}");
            }
        }
    }

    private static ulong Expected(string type, float value, Direction direction)
    {
        if (float.IsNaN(value))
        {
            return 0x7FFF;
        }

        var sign = float.IsNegative(value) ? 0x8000UL : 0;
        var magnitude = Math.Abs(value);
        if (float.IsInfinity(magnitude))
        {
            return sign | (type == "f16" ? 0x7C00UL : 0x7F80);
        }

        var rounded = type == "f16" ? Rational.Of(magnitude).ToHalf(direction) : Rational.Of(magnitude).ToBFloat16(direction);
        return sign | (type == "f16" ? BitConverter.HalfToUInt16Bits((Half)rounded) : BitConverter.SingleToUInt32Bits((float)rounded) >> 16);
    }

    // Halfway between neighbours of the 16-bit types, and a little beside.
    private static IEnumerable<float> Ties()
    {
        var random = new Random(17);
        for (var i = 0; i < 1500; i++)
        {
            var half = (uint)random.Next(0x7C00);
            var tie = (float)(((double)BitConverter.UInt16BitsToHalf((ushort)half) + (double)BitConverter.UInt16BitsToHalf((ushort)(half + 1))) / 2);
            yield return tie;
            yield return MathF.BitIncrement(tie);
            yield return -MathF.BitDecrement(tie);
            yield return BitConverter.UInt32BitsToSingle((uint)random.Next(0x7F80) << 16 | 0x8000);
        }
    }
}
