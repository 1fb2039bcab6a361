using Asft.Kernels.Ilgpu.OnDevice;

namespace Asft.Kernels.Tests.Ilgpu;

/// <summary>The arithmetic of the device code, run on the host: what is made of bits is the same everywhere.</summary>
public class DeviceMathTests
{
    [Test]
    public void EveryFloat16IsWidenedExactly()
    {
        for (int i = 0; i <= ushort.MaxValue; i++)
        {
            float exact = (float)BitConverter.UInt16BitsToHalf((ushort)i);
            Assert.That(Load<Float16Element>((ushort)i), Is.EqualTo(exact), $"0x{i:X4}");
        }
    }

    [Test]
    public void EveryFloat16AndWhatLiesBetweenIsNarrowedToTheNearest()
    {
        for (int i = 0; i < 0x7C00; i++)
        {
            float low = (float)BitConverter.UInt16BitsToHalf((ushort)i);
            float middle = low + (((float)BitConverter.UInt16BitsToHalf((ushort)(i + 1)) - low) / 2);
            middle = float.IsInfinity(middle) ? 65520 : middle;
            foreach (float value in new[] { low, MathF.BitDecrement(middle), middle, MathF.BitIncrement(middle) })
            {
                foreach (float signed in new[] { value, -value })
                {
                    ushort exact = BitConverter.HalfToUInt16Bits((Half)signed);
                    Assert.That(Store<Float16Element>(signed), Is.EqualTo(exact), $"{signed:R}");
                }
            }
        }

        Assert.That(Half.IsNaN(BitConverter.UInt16BitsToHalf(Store<Float16Element>(float.NaN))));
        Assert.That(Store<Float16Element>(float.NegativeInfinity), Is.EqualTo(0xFC00));
        Assert.That(Store<Float16Element>(1e30f), Is.EqualTo(0x7C00));
    }

    [Test]
    public void EveryBFloat16ComesBackAndWhatLiesBetweenGoesToTheNearest()
    {
        for (int i = 0; i <= ushort.MaxValue; i++)
        {
            float value = Load<BFloat16Element>((ushort)i);
            Assert.That(BitConverter.SingleToUInt32Bits(value), Is.EqualTo((uint)i << 16));
            if (float.IsNaN(value))
            {
                Assert.That(float.IsNaN(Load<BFloat16Element>(Store<BFloat16Element>(value))));
                continue;
            }

            Assert.That(Store<BFloat16Element>(value), Is.EqualTo(i));
            if (float.IsFinite(value))
            {
                uint bits = (uint)i << 16;
                Assert.That(Store<BFloat16Element>(BitConverter.UInt32BitsToSingle(bits | 0x7FFF)), Is.EqualTo(i), "below the middle");
                Assert.That(Store<BFloat16Element>(BitConverter.UInt32BitsToSingle(bits | 0x8001)), Is.EqualTo(i + 1), "above it");
                Assert.That(Store<BFloat16Element>(BitConverter.UInt32BitsToSingle(bits | 0x8000)), Is.EqualTo(i + (i & 1)), "the even one");
            }
        }
    }

    [Test]
    public void Exp()
    {
        for (int i = 0; i <= 200_000; i++)
        {
            double x = i * (-86.9 / 200_000);
            float single = (float)x;
            AssertClose(SingleMath.Exp(single), Math.Exp(single), 1.2e-7);
            AssertClose(DoubleMath.Exp(x * 8), Math.Exp(x * 8), 5e-16);
        }

        Assert.That(SingleMath.Exp(0), Is.EqualTo(1));
        Assert.That(SingleMath.Exp(float.NegativeInfinity), Is.Zero);
        Assert.That(SingleMath.Exp(float.NaN), Is.NaN);
        Assert.That(DoubleMath.Exp(0), Is.EqualTo(1));
        Assert.That(DoubleMath.Exp(double.NegativeInfinity), Is.Zero);
        Assert.That(DoubleMath.Exp(double.NaN), Is.NaN);
    }

    [Test]
    public void Tanh()
    {
        for (int i = -100_000; i <= 100_000; i++)
        {
            double x = i * Math.Abs(i) * 2.5e-9;
            float single = (float)x;
            AssertClose(SingleMath.Tanh(single), Math.Tanh(single), 2e-7);
            AssertClose(DoubleMath.Tanh(x), Math.Tanh(x), 5e-16);
        }

        Assert.That(SingleMath.Tanh(float.NegativeInfinity), Is.EqualTo(-1));
        Assert.That(SingleMath.Tanh(float.PositiveInfinity), Is.EqualTo(1));
        Assert.That(SingleMath.Tanh(float.NaN), Is.NaN);
        Assert.That(DoubleMath.Tanh(double.NegativeInfinity), Is.EqualTo(-1));
        Assert.That(DoubleMath.Tanh(double.NaN), Is.NaN);
    }

    [Test]
    public void ACompensatedSumKeepsWhatItsAdditionsRoundAway()
    {
        CompensatedSum<float> sum = default;
        sum.Add(1);
        for (int i = 0; i < 10_000; i++)
        {
            sum.Add(1e-8f);
        }

        Assert.That(sum.Value, Is.EqualTo(1.0001f).Within(1e-7f));
        sum.Add(float.PositiveInfinity);
        sum.Add(1);
        Assert.That(sum.Value, Is.EqualTo(float.PositiveInfinity));
    }

    private static float Load<TElement>(ushort stored)
        where TElement : struct, IElement<ushort, float> => TElement.Load(stored);

    private static ushort Store<TElement>(float value)
        where TElement : struct, IElement<ushort, float> => TElement.Store(value);

    private static void AssertClose(double actual, double exact, double relative)
    {
        // Assert.That for each would take longer than all else.
        if (!(Math.Abs(actual - exact) <= relative * Math.Abs(exact)))
        {
            Assert.Fail($"{actual:R} should be {exact:R} (off by {(actual - exact) / exact:E2} of it)");
        }
    }
}
