using System.Numerics;

namespace Asft.PtxVm.Tests;

/// <summary>Which way to round.</summary>
public enum Direction
{
    Nearest,
    Zero,
    Down,
    Up,
}

/// <summary>An exact fraction, and its neighbours among floating point numbers, found by comparing: how results are to be rounded.</summary>
internal readonly record struct Rational(BigInteger Numerator, BigInteger Denominator)
{
    public static Rational Of(double value)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        var exponent = (int)(bits >> 52 & 0x7FF);
        BigInteger significand = bits & ((1L << 52) - 1) | (exponent > 0 ? 1L << 52 : 0);
        exponent = Math.Max(exponent, 1) - 1075;
        significand = bits < 0 ? -significand : significand;
        return exponent >= 0 ? new(significand << exponent, 1) : new(significand, BigInteger.One << -exponent);
    }

    public static Rational operator +(Rational a, Rational b) => new(a.Numerator * b.Denominator + b.Numerator * a.Denominator, a.Denominator * b.Denominator);

    public static Rational operator -(Rational a, Rational b) => a + new Rational(-b.Numerator, b.Denominator);

    public static Rational operator *(Rational a, Rational b) => new(a.Numerator * b.Numerator, a.Denominator * b.Denominator);

    public static Rational operator /(Rational a, Rational b) =>
        b.Numerator.Sign < 0 ? new(-a.Numerator * b.Denominator, a.Denominator * -b.Numerator) : new(a.Numerator * b.Denominator, a.Denominator * b.Numerator);

    public int CompareTo(double value) =>
        double.IsPositiveInfinity(value) ? -1 : double.IsNegativeInfinity(value) ? 1 : (this - Of(value)).Numerator.Sign;

    /// <summary>Rounds to a format of which the numbers are counted: number n of the positive ones is <paramref name="value"/>(n), the last of them infinity.</summary>
    public double Round(int infinity, Func<int, double> value, Direction direction)
    {
        var negative = Numerator.Sign < 0;
        var magnitude = new Rational(BigInteger.Abs(Numerator), Denominator);
        var (low, high) = (0, infinity); // value(low) <= magnitude < value(high)
        while (high - low > 1)
        {
            var middle = low + (high - low) / 2;
            if (magnitude.CompareTo(value(middle)) >= 0)
            {
                low = middle;
            }
            else
            {
                high = middle;
            }
        }

        if (magnitude.CompareTo(value(low)) != 0)
        {
            // infinity stands where the next number would
            var next = high == infinity ? 2 * value(high - 1) - value(high - 2) : value(high);
            var half = (Of(value(low)) + Of(next)) * new Rational(1, 2);
            var beyondHalf = (magnitude - half).Numerator.Sign;
            var up = direction switch
            {
                Direction.Nearest => beyondHalf > 0 || beyondHalf == 0 && (low & 1) != 0,
                Direction.Up => !negative,
                Direction.Down => negative,
                _ => false,
            };
            low = up ? high : low;
        }

        return negative ? -value(low) : value(low);
    }

    public float ToSingle(Direction direction = Direction.Nearest) => (float)Round(0x7F800000, n => BitConverter.Int32BitsToSingle(n), direction);

    public double ToHalf(Direction direction = Direction.Nearest) => Round(0x7C00, n => (double)BitConverter.Int16BitsToHalf((short)n), direction);

    public double ToBFloat16(Direction direction = Direction.Nearest) => Round(0x7F80, n => BitConverter.Int32BitsToSingle(n << 16), direction);

    /// <summary>To float64, by the same comparison with the neighbours of an estimate.</summary>
    public double ToDouble(Direction direction)
    {
        var estimate = Math.Abs((double)Numerator / (double)Denominator);
        if (!double.IsFinite(estimate) || estimate < 1e-290)
        {
            throw new ArgumentException("Only for numbers well inside the range.");
        }

        var start = BitConverter.DoubleToInt64Bits(estimate) - 8;
        var value = Round(int.MaxValue, n => n == int.MaxValue ? double.PositiveInfinity : n == 0 ? 0 : BitConverter.Int64BitsToDouble(start + Math.Min(n, 16) + (start & 1)), direction);
        return value;
    }
}
