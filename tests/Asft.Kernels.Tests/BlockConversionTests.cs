using Asft.Kernels.Cpu;
using Asft.Kernels.Cpu.Simd;

namespace Asft.Kernels.Tests;

/// <summary>Conversions between storage and arithmetic, exhaustively where that is possible.</summary>
public unsafe class BlockConversionTests
{
    [Test]
    public void EveryHalfWidensExactly() => EveryPatternWidens(
        ElementType.Float16, bits => (float)BitConverter.UInt16BitsToHalf(bits));

    [Test]
    public void EveryBFloat16WidensExactly() => EveryPatternWidens(
        ElementType.BFloat16, bits => BitConverter.UInt32BitsToSingle((uint)bits << 16));

    [Test]
    public void HalfRoundsToNearestEven()
    {
        float[] values = [.. Floats().Where(float.IsFinite), float.PositiveInfinity, float.NegativeInfinity];
        ushort[] actual = Narrow(values, ElementType.Float16);
        for (int i = 0; i < values.Length; i++)
        {
            Assert.That(actual[i], Is.EqualTo(BitConverter.HalfToUInt16Bits((Half)values[i])), $"{values[i]:R}");
        }
    }

    [Test]
    public void BFloat16RoundsToNearestEven()
    {
        float[] values = [.. Floats().Where(float.IsFinite), float.PositiveInfinity, float.NegativeInfinity];
        ushort[] actual = Narrow(values, ElementType.BFloat16);
        for (int i = 0; i < values.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(values[i]);
            uint below = bits & 0xFFFF0000;
            uint rest = bits - below;
            bool up = rest > 0x8000 || (rest == 0x8000 && (below & 0x10000) != 0);
            Assert.That((uint)actual[i] << 16, Is.EqualTo(up ? below + 0x10000 : below), $"{values[i]:R}");
        }
    }

    [Test]
    public void RegistersReadAndWriteBFloat16AsTheBlockConversionDoes()
    {
        float[] values = [.. Floats().Where(float.IsFinite)];
        ushort[] expected = Narrow(values, ElementType.BFloat16);
        Check<Simd128<float>>(values, expected);
        Check<Simd256<float>>(values, expected);
        Check<Simd512<float>>(values, expected);

        static void Check<TV>(float[] values, ushort[] expected)
            where TV : struct, ISimd<TV, float>
        {
            var actual = new ushort[values.Length];
            var back = new float[values.Length];
            fixed (float* source = values, target = back)
            {
                fixed (ushort* destination = actual)
                {
                    int whole = values.Length / (2 * TV.Count) * (2 * TV.Count);
                    float* even = stackalloc float[TV.Count];
                    float* odd = stackalloc float[TV.Count];
                    for (int i = 0; i < whole; i += 2 * TV.Count)
                    {
                        for (int j = 0; j < TV.Count; j++)
                        {
                            even[j] = source[i + (2 * j)];
                            odd[j] = source[i + (2 * j) + 1];
                        }

                        TV.StoreBFloat16(TV.Load(even), TV.Load(odd), destination + i);
                        (TV backEven, TV backOdd) = TV.LoadBFloat16(destination + i);
                        TV.Store(backEven, target + i);
                        TV.Store(backOdd, target + i + TV.Count);
                    }

                    for (int i = 0; i < whole; i++)
                    {
                        Assert.That(actual[i], Is.EqualTo(expected[i]));
                        long place = BFloat16<TV, float>.Place(i);
                        Assert.That(BitConverter.SingleToUInt32Bits(back[place]), Is.EqualTo((uint)expected[i] << 16));
                    }
                }
            }
        }
    }

    private static void EveryPatternWidens(ElementType type, Func<ushort, float> exact)
    {
        ushort[] patterns = [.. Enumerable.Range(0, 65536).Select(i => (ushort)i)];
        var widened = new float[patterns.Length];
        fixed (ushort* source = patterns)
        {
            fixed (float* destination = widened)
            {
                // An odd length, so that the scalar tail is tested too.
                BlockConversion.Widen(source, type, destination, 65535);
                BlockConversion.Widen(source + 65535, type, destination + 65535, 1);
            }
        }

        for (int i = 0; i < patterns.Length; i++)
        {
            Assert.That(widened[i], Is.EqualTo(exact(patterns[i])), $"0x{i:X4}");
        }
    }

    private static ushort[] Narrow(float[] values, ElementType type)
    {
        var narrowed = new ushort[values.Length];
        fixed (float* source = values)
        {
            fixed (ushort* destination = narrowed)
            {
                BlockConversion.Narrow(source, destination, type, values.Length);
            }
        }

        return narrowed;
    }

    /// <summary>Floats of every exponent, and next to every rounding boundary of the small types.</summary>
    private static IEnumerable<float> Floats()
    {
        var random = new Random(1);
        for (uint upper = 0; upper < 65536; upper += 7)
        {
            foreach (uint lower in new uint[] { 0, 1, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF, (uint)random.Next(65536) })
            {
                yield return BitConverter.UInt32BitsToSingle((upper << 16) | lower);
            }
        }
    }
}
