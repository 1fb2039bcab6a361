using System.Numerics;

namespace Asft.Oracle;

/// <summary>
/// A real number <c>Mantissa * 2^Exponent</c>. Every operation is rounded to <see cref="Precision"/> bits. The exponent is an integer of any
/// size: e^-(10^30) is not 0, and has its sign.
/// </summary>
internal readonly record struct Real : IComparable<Real>
{
    /// <summary>Bits that a result is rounded to: 50 decimal digits, and three bits.</summary>
    public const int Precision = 169;

    private Real(BigInteger mantissa, BigInteger exponent)
    {
        int excess = (int)BigInteger.Abs(mantissa).GetBitLength() - Precision;
        if (excess > 0)
        {
            mantissa = (mantissa + (BigInteger.One << (excess - 1))) >> excess; // to the nearest; ties go up
            exponent += excess;
        }

        // One form for each value, so that equal numbers are equal records.
        int zeros = mantissa.IsZero ? 0 : (int)BigInteger.TrailingZeroCount(mantissa);
        Mantissa = mantissa >> zeros;
        Exponent = mantissa.IsZero ? 0 : exponent + zeros;
    }

    /// <summary>The number 0.</summary>
    public static Real Zero => default;

    /// <summary>The number 1.</summary>
    public static Real One { get; } = 1;

    /// <summary>An odd number, or 0.</summary>
    public BigInteger Mantissa { get; }

    /// <summary>The power of two it is multiplied with.</summary>
    public BigInteger Exponent { get; }

    /// <summary>-1, 0 or 1.</summary>
    public int Sign => Mantissa.Sign;

    /// <summary>Whether this is 0.</summary>
    public bool IsZero => Mantissa.IsZero;

    /// <summary>The power of two at or below the absolute value; of 0, nothing that means anything.</summary>
    public BigInteger Magnitude => Exponent + (int)BigInteger.Abs(Mantissa).GetBitLength() - 1;

    /// <summary>An integer, exactly.</summary>
    public static implicit operator Real(int value) => new(value, 0);

    public static Real operator +(Real a, Real b)
    {
        if (a.IsZero || b.IsZero)
        {
            return a.IsZero ? b : a;
        }

        // What lies wholly below the last bit changes nothing, and is not worth a mantissa that spans the gap.
        if (BigInteger.Abs(a.Magnitude - b.Magnitude) > Precision + 2)
        {
            return a.Magnitude > b.Magnitude ? a : b;
        }

        BigInteger exponent = BigInteger.Min(a.Exponent, b.Exponent);
        return new Real(a.Scaled(exponent) + b.Scaled(exponent), exponent);
    }

    public static Real operator -(Real a) => new(-a.Mantissa, a.Exponent);

    public static Real operator -(Real a, Real b) => a + -b;

    public static Real operator *(Real a, Real b) => new(a.Mantissa * b.Mantissa, a.Exponent + b.Exponent);

    public static Real operator /(Real a, Real b)
    {
        int shift = Precision + 2 + (int)BigInteger.Abs(b.Mantissa).GetBitLength();
        return new Real((a.Mantissa << shift) / b.Mantissa, a.Exponent - shift - b.Exponent);
    }

    public static bool operator <(Real a, Real b) => a.CompareTo(b) < 0;

    public static bool operator >(Real a, Real b) => a.CompareTo(b) > 0;

    public static bool operator <=(Real a, Real b) => a.CompareTo(b) <= 0;

    public static bool operator >=(Real a, Real b) => a.CompareTo(b) >= 0;

    public static Real Max(Real a, Real b) => a > b ? a : b;

    public static Real Min(Real a, Real b) => a < b ? a : b;

    public static Real Abs(Real a) => a.Sign < 0 ? -a : a;

    /// <summary>The value of a finite double, exactly.</summary>
    public static Real FromDouble(double value)
    {
        if (!double.IsFinite(value))
        {
            throw new OracleException($"{value} is no real number.");
        }

        long bits = BitConverter.DoubleToInt64Bits(value);
        int exponent = (int)((bits >> 52) & 0x7FF);
        long mantissa = bits & ((1L << 52) - 1);
        mantissa = exponent == 0 ? mantissa : mantissa | (1L << 52);
        return new Real(value < 0 ? -mantissa : mantissa, Math.Max(exponent, 1) - 1075);
    }

    /// <summary>A fixed-point number <c>value * 2^-bits</c>.</summary>
    public static Real FromFixed(BigInteger value, int bits) => new(value, -bits);

    /// <summary>The number times a power of two.</summary>
    public Real Times2To(BigInteger power) => new(Mantissa, Exponent + power);

    /// <summary>The number as a fixed-point number with that many bits after the point; what lies below is cut off.</summary>
    public BigInteger ToFixed(int bits) => Scaled(-bits);

    /// <summary>
    /// The nearest double; of two, the one with an even mantissa. What is too small for one becomes 0 with its sign, what is too large infinity.
    /// </summary>
    public double ToDouble()
    {
        const int Bits = 53, LowestExponent = -1074, HighestMagnitude = 1024;
        if (IsZero)
        {
            return 0;
        }

        double size;
        if (Magnitude > HighestMagnitude)
        {
            size = double.PositiveInfinity;
        }
        else if (Magnitude < LowestExponent - 1)
        {
            size = 0;
        }
        else
        {
            int lowest = Math.Max((int)Magnitude - Bits + 1, LowestExponent);
            size = Math.ScaleB((double)Rounded(BigInteger.Abs(Mantissa), lowest - (int)Exponent), lowest);
        }

        return Sign < 0 ? -size : size;
    }

    /// <inheritdoc/>
    public int CompareTo(Real other) => (this - other).Sign;

    /// <inheritdoc/>
    public override string ToString() => ToDouble().ToString("R", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>The mantissa for another exponent.</summary>
    private BigInteger Scaled(BigInteger exponent)
    {
        BigInteger shift = Exponent - exponent;
        return shift >= 0 ? Mantissa << (int)shift : shift < -int.MaxValue ? (Sign < 0 ? -1 : 0) : Mantissa >> (int)-shift;
    }

    /// <summary>A number above 0 without its last bits, rounded.</summary>
    private static BigInteger Rounded(BigInteger value, int dropped)
    {
        if (dropped <= 0)
        {
            return value << -dropped;
        }

        BigInteger kept = value >> dropped;
        int side = (value - (kept << dropped)).CompareTo(BigInteger.One << (dropped - 1));
        return kept + (side > 0 || (side == 0 && !kept.IsEven) ? 1 : 0);
    }
}
