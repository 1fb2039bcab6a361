namespace Asft.PtxVm.Tests;

/// <summary>The approximate instructions: inside their documented error, but not much better, and exact where that is documented.</summary>
public class ApproximationTests
{
    private const ulong Infinity = 0x7F800000;
    private const ulong MinusInfinity = 0xFF800000;
    private const ulong NaN = 0x7FFFFFFF;

    [TestCase("ex2.approx.ftz.f32", -22.0, -126, 127)]
    [TestCase("ex2.approx.f32", -22.0, -126, 127)]
    [TestCase("rcp.approx.ftz.f32", -23.0, 1e-30, 1e30)]
    [TestCase("sqrt.approx.ftz.f32", -23.0, 1e-30, 1e30)]
    [TestCase("rsqrt.approx.ftz.f32", -22.4, 1e-30, 1e30)]
    [TestCase("lg2.approx.ftz.f32", -22.6, 2, 1e30)]
    [TestCase("tanh.approx.f32", -11.0, 1e-3, 3)]
    public void RelativeError(string name, double bound, double least, double most)
    {
        var random = new Random(19);
        var isExponent = name[0] == 'e';
        float[] values = [.. Enumerable.Range(0, 20000).Select(_ => (float)(isExponent ? least + random.NextDouble() * (most - least) : Math.Exp(Math.Log(least) + random.NextDouble() * Math.Log(most / least))))];
        Func<double, double> exact = name[..3] switch { "ex2" => a => Math.Pow(2, a), "rcp" => a => 1 / a, "sqr" => Math.Sqrt, "rsq" => a => 1 / Math.Sqrt(a), "lg2" => Math.Log2, _ => Math.Tanh };
        var worst = Worst(name, values, (result, a) => Math.Abs(result / exact(a) - 1));
        Assert.That(worst, Is.LessThanOrEqualTo(Math.Pow(2, bound)).And.GreaterThan(0.7 * Math.Pow(2, bound)));
    }

    [TestCase("lg2.approx.ftz.f32", -22.6, 0.5, 2)]
    [TestCase("sin.approx.f32", -20.9, -3.14, 3.14)]
    [TestCase("cos.approx.f32", -20.9, -3.14, 3.14)]
    public void AbsoluteError(string name, double bound, double least, double most)
    {
        var random = new Random(21);
        float[] values = [.. Enumerable.Range(0, 20000).Select(_ => (float)(least + random.NextDouble() * (most - least)))];
        Func<double, double> exact = name[..3] switch { "lg2" => Math.Log2, "sin" => Math.Sin, _ => Math.Cos };
        var worst = Worst(name, values, (result, a) => Math.Abs(result - exact(a)));
        Assert.That(worst, Is.LessThanOrEqualTo(Math.Pow(2, bound)).And.GreaterThan(0.7 * Math.Pow(2, bound)));
    }

    [TestCase("div.full.f32")]
    [TestCase("div.approx.ftz.f32")]
    public void Quotients(string name)
    {
        var random = new Random(23);
        float[] a = [.. Enumerable.Range(0, 20000).Select(_ => (float)Math.Exp(random.NextDouble() * 40 - 20))];
        float[] b = [.. a.Select(_ => (float)Math.Exp(random.NextDouble() * 40 - 20))];
        var result = Lanes.Run(name + " {d}, {a}, {b};", "fff", Lanes.Bits(a), Lanes.Bits(b));
        var worst = Enumerable.Range(0, a.Length).Max(i =>
        {
            var exact = (double)a[i] / b[i];
            return Math.Abs(Lanes.Single(result[i]) - exact) / (MathF.BitIncrement((float)exact) - (float)exact);
        });
        Assert.That(worst, Is.LessThanOrEqualTo(2).And.GreaterThan(1));

        // a denominator above 2^126 gives 0
        Assert.That(Lanes.Run(name + " {d}, {a}, {b};", "fff", Lanes.Bits([1f, float.PositiveInfinity, 1f]), Lanes.Bits([1.5e38f, 1.5e38f, float.NegativeInfinity])), Is.EqualTo(new ulong[] { 0, NaN, 0x80000000 }));
    }

    [TestCase("ex2.approx.ftz.f32", new[] { float.NegativeInfinity, -0f, 0f, 1e-40f, -1e-40f, float.PositiveInfinity, float.NaN, 3f, -126f, -127f, 128f, -200f }, new ulong[] { 0, 0x3F800000, 0x3F800000, 0x3F800000, 0x3F800000, Infinity, NaN, 0x41000000, 0x00800000, 0, Infinity, 0 })]
    [TestCase("ex2.approx.f32", new[] { -127f, -149f, -151f }, new ulong[] { 0x00400000, 1, 0 })]
    [TestCase("lg2.approx.ftz.f32", new[] { float.NegativeInfinity, -1f, -0f, 0f, 1e-40f, float.PositiveInfinity, float.NaN }, new ulong[] { NaN, NaN, MinusInfinity, MinusInfinity, MinusInfinity, Infinity, NaN })]
    [TestCase("rcp.approx.ftz.f32", new[] { float.NegativeInfinity, -0f, 0f, 1e-40f, float.PositiveInfinity, float.NaN, float.MaxValue }, new ulong[] { 0x80000000, MinusInfinity, Infinity, Infinity, 0, NaN, 0 })]
    [TestCase("rsqrt.approx.ftz.f32", new[] { float.NegativeInfinity, -1f, -0f, 0f, float.PositiveInfinity, float.NaN }, new ulong[] { NaN, NaN, MinusInfinity, Infinity, 0, NaN })]
    [TestCase("sqrt.approx.f32", new[] { float.NegativeInfinity, -1f, -0f, 0f, float.PositiveInfinity, float.NaN }, new ulong[] { NaN, NaN, 0x80000000, 0, Infinity, NaN })]
    public void SpecialOperands(string name, float[] operands, ulong[] expected) =>
        Assert.That(Lanes.Run(name + " {d}, {a};", "ff", Lanes.Bits(operands)), Is.EqualTo(expected));

    [Test]
    public void TheSeedChoosesTheErrors()
    {
        float[] values = [.. Enumerable.Range(1, 1000).Select(i => i * 0.013f)];
        ulong[] Run(PtxMachineOptions options) => Lanes.Run("ex2.approx.ftz.f32 {d}, {a};", "ff", Lanes.Bits(values), options: options);
        var first = Run(new PtxMachineOptions { Seed = 1 });
        Assert.That(Run(new PtxMachineOptions { Seed = 1 }), Is.EqualTo(first));
        Assert.That(Run(new PtxMachineOptions { Seed = 2 }), Is.Not.EqualTo(first));
        Assert.That(Run(new PtxMachineOptions { ApproximationErrors = false }).Select(Lanes.Single), Is.EqualTo(values.Select(value => (float)Math.Pow(2, value))));
    }

    [Test]
    public void GrossDoubles()
    {
        double[] values = [.. Enumerable.Range(1, 1000).Select(i => i * 0.7137 * Math.Pow(2, i % 40 - 20))];
        foreach (var (name, exact) in new (string, Func<double, double>)[] { ("rcp.approx.ftz.f64", a => 1 / a), ("rsqrt.approx.ftz.f64", a => 1 / Math.Sqrt(a)) })
        {
            var result = Lanes.Run(name + " {d}, {a};", "ee", Lanes.Bits(values));
            for (var i = 0; i < values.Length; i++)
            {
                Assert.That(result[i] & uint.MaxValue, Is.Zero, "the lower half of a gross result is 0");
                Assert.That(BitConverter.UInt64BitsToDouble(result[i]), Is.EqualTo(exact(values[i])).Within(Math.Pow(2, -19) * exact(values[i])));
            }
        }
    }

    [TestCase("ex2.approx.ftz.bf16x2", 6.0)]
    [TestCase("tanh.approx.bf16x2", 7.0)]
    [TestCase("ex2.approx.f16x2", 9.0)]
    [TestCase("tanh.approx.f16x2", 10.0)]
    public void Halves(string name, double bits)
    {
        var isHalf = name.Contains(".f16", StringComparison.Ordinal);
        float[] values = [.. Enumerable.Range(1, 500).Select(i => BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(i * 0.011f) & 0xFFFF0000))];
        ulong Encode(float value) => isHalf ? BitConverter.HalfToUInt16Bits((Half)value) : BitConverter.SingleToUInt32Bits(value) >> 16;
        double Decode(ulong half) => isHalf ? (double)BitConverter.UInt16BitsToHalf((ushort)half) : BitConverter.UInt32BitsToSingle((uint)half << 16);
        var result = Lanes.Run(name + " {d}, {a};", "rr", [.. values.Select(value => Encode(value) | Encode(-value) << 16)]);
        for (var i = 0; i < values.Length; i++)
        {
            Func<double, double> exact = name[0] == 'e' ? a => Math.Pow(2, a) : Math.Tanh;
            Assert.That(Decode(result[i] & 0xFFFF), Is.EqualTo(exact(values[i])).Within(Math.Pow(2, -bits) * exact(values[i])));
            Assert.That(Decode(result[i] >> 16), Is.EqualTo(exact(-values[i])).Within(Math.Pow(2, -bits) * Math.Abs(exact(-values[i]))));
        }
    }

    private static double Worst(string name, float[] values, Func<float, float, double> error)
    {
        var result = Lanes.Run(name + " {d}, {a};", "ff", Lanes.Bits(values));
        return Enumerable.Range(0, values.Length).Max(i => error(Lanes.Single(result[i]), values[i]));
    }
}
