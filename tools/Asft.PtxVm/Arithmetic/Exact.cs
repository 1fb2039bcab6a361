using System.Numerics;

namespace Asft.PtxVm.Arithmetic;

internal enum Rounding
{
    /// <summary>To nearest, ties to even.</summary>
    Nearest,
    Zero,
    Down,
    Up,
}

/// <summary>A binary floating point format.</summary>
/// <param name="Precision">Bits of the significand, the hidden one included.</param>
/// <param name="Smallest">Exponent of the least subnormal number.</param>
/// <param name="Largest">Exponent of the greatest finite number's leading bit.</param>
internal readonly record struct Format(int Precision, int Smallest, int Largest)
{
    public static readonly Format Half = new(11, -24, 15);
    public static readonly Format BFloat16 = new(8, -133, 127);
    public static readonly Format Single = new(24, -149, 127);
    public static readonly Format Double = new(53, -1074, 1023);
}

/// <summary>
/// A number of any size and precision, sign * Significand * 2^Exponent, rounded once at the end: for the instructions whose rounding .NET
/// has no operator for.
/// </summary>
internal readonly record struct Exact(BigInteger Significand, int Exponent)
{
    public static Exact Of(double value)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        var exponent = (int)(bits >> 52 & 0x7FF);
        var significand = bits & 0xFFFFFFFFFFFFF | (exponent == 0 ? 0 : 1L << 52);
        return new Exact(bits < 0 ? -significand : significand, Math.Max(exponent, 1) - 1075);
    }

    public static Exact operator +(Exact a, Exact b)
    {
        var exponent = Math.Min(a.Exponent, b.Exponent);
        return new Exact((a.Significand << (a.Exponent - exponent)) + (b.Significand << (b.Exponent - exponent)), exponent);
    }

    public static Exact operator *(Exact a, Exact b) => new(a.Significand * b.Significand, a.Exponent + b.Exponent);

    /// <summary>
    /// The quotient, with a last bit that says whether anything is missing: right under any rounding to 64 bits or fewer.
    /// </summary>
    public static Exact operator /(Exact a, Exact b)
    {
        const int Extra = 256;
        var quotient = BigInteger.DivRem(BigInteger.Abs(a.Significand) << Extra, BigInteger.Abs(b.Significand), out var rest);
        quotient = (quotient << 1) + (rest.IsZero ? 0 : 1);
        return new Exact(a.Significand.Sign * b.Significand.Sign * quotient, a.Exponent - b.Exponent - Extra - 1);
    }

    /// <summary>The square root, with a last bit that says whether anything is missing.</summary>
    public Exact Sqrt()
    {
        var shift = 256 + (Exponent & 1);
        var square = Significand << shift;
        var root = BigInteger.One << (int)((square.GetBitLength() + 1) / 2);
        for (var next = root; ;)
        {
            next = (root + square / root) >> 1;
            if (next >= root)
            {
                break;
            }

            root = next;
        }

        return new Exact((root << 1) + (root * root == square ? 0 : 1), (Exponent - shift) / 2 - 1);
    }

    /// <summary>
    /// The nearest number of a format, as a double that holds it; overflow gives infinity or the greatest number, as the rounding
    /// says.
    /// </summary>
    public double Round(Format format, Rounding rounding)
    {
        if (Significand.IsZero)
        {
            return 0;
        }

        var negative = Significand.Sign < 0;
        var magnitude = BigInteger.Abs(Significand);
        var leading = (int)magnitude.GetBitLength() - 1 + Exponent;
        var unit = Math.Max(leading - format.Precision + 1, format.Smallest); // exponent of the last bit that stays
        var drop = unit - Exponent;
        var kept = drop <= 0 ? magnitude << -drop : magnitude >> drop;
        if (drop > 0)
        {
            var rest = magnitude - (kept << drop);
            var half = BigInteger.One << (drop - 1);
            var up = rounding switch
            {
                Rounding.Nearest => rest > half || rest == half && !kept.IsEven,
                Rounding.Up => !negative && !rest.IsZero,
                Rounding.Down => negative && !rest.IsZero,
                _ => false,
            };
            kept += up ? 1 : 0;
        }

        if ((int)kept.GetBitLength() - 1 + unit > format.Largest)
        {
            var toInfinity = rounding == Rounding.Nearest || rounding == Rounding.Up && !negative
                || rounding == Rounding.Down && negative;
            var greatest = Math.ScaleB((1L << format.Precision) - 1, format.Largest - format.Precision + 1);
            var result = toInfinity ? double.PositiveInfinity : greatest;
            return negative ? -result : result;
        }

        var value = Math.ScaleB((double)kept, unit);
        return negative ? -value : value;
    }
}
