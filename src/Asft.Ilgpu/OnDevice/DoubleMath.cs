using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Algorithms.ScanReduceOperations;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>The functions in float64, within about one unit in the last place.</summary>
internal readonly struct DoubleMath : IRealMath<double>
{
    private const double Log2E = 1.4426950408889634;

    // ln 2 in two parts, of which the first has so few bits that its product with an exponent is exact (Cody and Waite).
    private const double Ln2High = 6.93147180369123816490e-01;
    private const double Ln2Low = 1.90821492927058770002e-10;

    private const double Underflow = -708;
    private const double TanhIsOne = 20;
    private const double TanhIsSmall = 0.55;

    public static double Lowest => double.MinValue;

    public static double NegativeInfinity => double.NegativeInfinity;

    public static double PerY => RowUnits.PerY;

    public static double Splitter => 134217729;

    public static double FromCount(long count) => count;

    public static double Exp(double x)
    {
        int k = Exponent(x);
        double exp = (1 + Fraction(x, k)) * PowerOfTwo(k);
        exp = x < Underflow ? 0 : exp;
        return double.IsNaN(x) ? x : exp; // of a NaN, ILGPU's OpenCL code takes the wrong side of the comparison above
    }

    public static double Tanh(double x)
    {
        double size = x < 0 ? -x : x;
        size = size > TanhIsOne ? TanhIsOne : size;
        double tanh;
        if (size < TanhIsSmall)
        {
            // (e^2x - 1) / (e^2x + 1), without the cancellation
            int k = Exponent(2 * size);
            double scale = PowerOfTwo(k);
            double m = (scale * Fraction(2 * size, k)) + (scale - 1);
            tanh = m / (m + 2);
        }
        else
        {
            tanh = 1 - (2 / (Exp(2 * size) + 1));
        }

        tanh = x < 0 ? -tanh : tanh;
        return double.IsNaN(x) ? x : tanh;
    }

    public static double GroupMax(double value) => GroupExtensions.AllReduce<double, MaxDouble>(value);

    /// <summary>The k for which <c>x - k*ln 2</c> is smallest.</summary>
    private static int Exponent(double x) => (int)((x * Log2E) + (x < 0 ? -0.5 : 0.5));

    /// <summary><c>e^r - 1</c> for the rest <c>r = x - k*ln 2</c>, at most ln(2)/2 in size: its Taylor series to r^13.</summary>
    private static double Fraction(double x, int k)
    {
        double r = (x - (k * Ln2High)) - (k * Ln2Low);
        double tail = (1.0 / 479001600) + (r * (1.0 / 6227020800));
        tail = (1.0 / 39916800) + (r * tail);
        tail = (1.0 / 3628800) + (r * tail);
        tail = (1.0 / 362880) + (r * tail);
        tail = (1.0 / 40320) + (r * tail);
        tail = (1.0 / 5040) + (r * tail);
        tail = (1.0 / 720) + (r * tail);
        tail = (1.0 / 120) + (r * tail);
        tail = (1.0 / 24) + (r * tail);
        tail = (1.0 / 6) + (r * tail);
        tail = (1.0 / 2) + (r * tail);
        return r + (r * r * tail);
    }

    private static double PowerOfTwo(int k) => Interop.IntAsFloat((ulong)(k + 1023) << 52);
}
