using System.Numerics;

namespace Asft.Oracle;

/// <summary>Exponential, logarithm and what is made of them.</summary>
internal static class RealMath
{
    /// <summary>The series for e^r takes r divided by 2^Halvings, and the result is squared as often.</summary>
    private const int Halvings = 12;

    /// <summary>Bits after the point that an operation inside takes beyond those of its result.</summary>
    private const int Guard = 64;

    /// <summary>The largest power of two that an exponent may have: that of the largest double, and a scale.</summary>
    private const int LargestMagnitude = 2048;

    private const int Ln2Bits = Real.Precision + LargestMagnitude + Guard;

    private static readonly BigInteger s_ln2 = Ln2();

    /// <summary>e^x.</summary>
    public static Real Exp(Real x)
    {
        if (x.Magnitude > LargestMagnitude)
        {
            throw new OracleException($"e^{x} is beyond this oracle.");
        }

        // e^x = 2^k * e^r; k has as many bits as x has before its point, and its product with log 2 is to be right to the last bit.
        int bits = Real.Precision + Guard + Math.Max(0, (int)x.Magnitude);
        BigInteger ln2 = s_ln2 >> (Ln2Bits - bits);
        BigInteger argument = x.ToFixed(bits);
        BigInteger k = BigInteger.Divide(argument, ln2);
        BigInteger r = (argument - (k * ln2)) >> Halvings;
        BigInteger sum = BigInteger.One << bits;
        BigInteger term = sum;
        for (int n = 1; !term.IsZero && term != -1; n++)
        {
            term = ((term * r) >> bits) / n;
            sum += term;
        }

        for (int i = 0; i < Halvings; i++)
        {
            sum = (sum * sum) >> bits;
        }

        return Real.FromFixed(sum, bits).Times2To(k);
    }

    /// <summary>The natural logarithm of a number above 0.</summary>
    public static Real Log(Real x)
    {
        if (x.Sign <= 0)
        {
            throw new OracleException($"{x} has no logarithm.");
        }

        // x = 2^k * m with m near 1, and log m by Halley's iteration for e^y = m, each step of which triples the digits of a double.
        BigInteger k = x.Magnitude;
        Real m = x.Times2To(-k);
        if (m > Real.FromDouble(1.5))
        {
            m = m.Times2To(-1);
            k++;
        }

        Real y = Real.FromDouble(Math.Log(m.ToDouble()));
        for (int step = 0; step < 3; step++)
        {
            Real e = Exp(y);
            y += 2 * (m - e) / (m + e);
        }

        return y + Real.FromFixed(k * s_ln2, Ln2Bits);
    }

    /// <summary>x^a for x of at least 0; x^0 is 1 for every x.</summary>
    public static Real Pow(Real x, Real a) =>
        a.IsZero ? Real.One : a == Real.One || x.IsZero ? x : Exp(a * Log(x));

    /// <summary>The hyperbolic tangent.</summary>
    public static Real Tanh(Real x)
    {
        Real e = Exp(-2 * Real.Abs(x));
        Real size = (1 - e) / (1 + e);
        return x.Sign < 0 ? -size : size;
    }

    /// <summary>log 2 = sum of 1/(n 2^n), in fixed point.</summary>
    private static BigInteger Ln2()
    {
        BigInteger sum = 0;
        for (int n = 1; n <= Ln2Bits + Guard; n++)
        {
            sum += (BigInteger.One << (Ln2Bits + Guard - n)) / n;
        }

        return sum >> Guard;
    }
}
