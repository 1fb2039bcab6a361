using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Tests;

/// <summary>The transcendental functions against System.Math, in float and double and each register width.</summary>
[TestFixture(typeof(Simd128<float>), typeof(float), 3e-7)]
[TestFixture(typeof(Simd256<float>), typeof(float), 3e-7)]
[TestFixture(typeof(Simd512<float>), typeof(float), 3e-7)]
[TestFixture(typeof(Simd128<double>), typeof(double), 4e-16)]
[TestFixture(typeof(Simd256<double>), typeof(double), 4e-16)]
[TestFixture(typeof(Simd512<double>), typeof(double), 4e-16)]
internal sealed unsafe class SimdMathTests<TV, T>(double precision)
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    private static bool IsFloat => typeof(T) == typeof(float);

    [Test]
    public void Exp2IsAccurateOverItsWholeRange()
    {
        double lowest = (IsFloat ? -125.9 : -1021.9) - SimdMath<TV, T>.Headroom;
        for (double t = lowest; t < 40; t += 0.0137)
        {
            double input = Round(t);
            double actual = Apply(Exp2, input);
            int whole = (int)Math.Round(input);
            double exact = Math.ScaleB(Math.Pow(2, input - whole), whole + SimdMath<TV, T>.Headroom);
            Assert.That(Math.Abs((actual / exact) - 1), Is.LessThan(precision), $"2^{input:R}");
        }
    }

    [Test]
    public void Exp2OfSpecialValues()
    {
        Assert.That(Apply(Exp2, double.NegativeInfinity), Is.Zero);
        Assert.That(Apply(Exp2, IsFloat ? -1e30 : -1e300), Is.Zero);
        Assert.That(
            Apply(Exp2, (IsFloat ? -127 : -1023) - SimdMath<TV, T>.Headroom), Is.EqualTo(0).Within(Math.Pow(2, IsFloat ? -126.9 : -1022.9)), "below the smallest normal number");
        Assert.That(Apply(Exp2, double.NaN), Is.NaN);
        Assert.That(Apply(Exp2, NaNWithPayload), Is.NaN);
    }

    [Test]
    public void TanhIsAccurateEverywhere()
    {
        foreach (double magnitude in new[] { 0, 1e-30, 1e-8, 1e-3, 0.1, 0.59999, 0.6, 0.60001, 1, 3, 8.9, 19.9, 50, 1e20, double.PositiveInfinity })
        {
            foreach (double input in new[] { Round(magnitude), -Round(magnitude) })
            {
                double exact = Math.Tanh(input);
                Assert.That(
                    Apply(a => SimdMath<TV, T>.Tanh(a).Tanh, input), Is.EqualTo(exact).Within(4 * precision * Math.Abs(exact)), $"tanh {input:R}");
                double e = Math.Exp(-2 * Math.Abs(input));
                double slope = 4 * e / ((1 + e) * (1 + e));
                double lost = Math.Abs(input) > 20 ? slope + 1e-15 : 0; // as good as 0
                Assert.That(
                    Apply(a => SimdMath<TV, T>.Tanh(a).Derivative, input),
                    Is.EqualTo(slope).Within(lost + ((16 + (2 * Math.Min(20, Math.Abs(input)))) * precision * slope)), $"tanh' {input:R}");
            }
        }

        Assert.That(Apply(a => SimdMath<TV, T>.Tanh(a).Tanh, double.NaN), Is.NaN);
    }

    [Test]
    public void ReductionsSeeEveryLane()
    {
        T* values = stackalloc T[TV.Count];
        for (int lane = 0; lane < TV.Count; lane++)
        {
            new Span<T>(values, TV.Count).Fill(Element(-3));
            values[lane] = Element(5);
            Assert.That(Number(TV.MaxLane(TV.Load(values))), Is.EqualTo(5));
            values[lane] = Element(-7);
            Assert.That(Number(TV.MinLane(TV.Load(values))), Is.EqualTo(-7));
            values[lane] = Element(5);
            Assert.That(Number(TV.Sum(TV.Load(values))), Is.EqualTo(5 - (3 * (TV.Count - 1))));
        }
    }

    private static double NaNWithPayload => IsFloat
        ? BitConverter.UInt32BitsToSingle(0x7FC00001)
        : BitConverter.UInt64BitsToDouble(0x7FF8000000000001);

    private static TV Exp2(TV t)
    {
        (TV a, TV b) = SimdMath<TV, T>.Exp2(t, t);
        Assert.That(TV.Sum(a), Is.EqualTo(TV.Sum(b)));
        return a;
    }

    private static double Apply(Func<TV, TV> function, double value)
    {
        T* lanes = stackalloc T[TV.Count];
        TV.Store(function(TV.Create(Element(value))), lanes);
        for (int i = 1; i < TV.Count; i++)
        {
            Assert.That(lanes[i], Is.EqualTo(lanes[0]), "All lanes are equal.");
        }

        return Number(lanes[0]);
    }

    private static double Round(double value) => IsFloat ? (float)value : value;

    private static T Element(double value) => IsFloat ? (T)(object)(float)value : (T)(object)value;

    private static double Number(T value) => IsFloat ? (float)(object)value : (double)(object)value;
}
