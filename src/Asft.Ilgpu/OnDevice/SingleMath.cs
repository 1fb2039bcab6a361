using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Algorithms.ScanReduceOperations;

namespace Asft.Kernels.Ilgpu.OnDevice;

/// <summary>The functions in float32, within about one unit in the last place.</summary>
internal readonly struct SingleMath : IRealMath<float>
{
    private const float Log2E = 1.44269504f;

    // ln 2 in two parts, of which the first has so few bits that its product with an exponent is exact (Cody and Waite).
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    private const float Underflow = -87;
    private const float TanhIsOne = 10;
    private const float TanhIsSmall = 0.55f;

    public static float Lowest => float.MinValue;

    public static float NegativeInfinity => float.NegativeInfinity;

    public static float PerY => (float)RowUnits.PerY;

    public static float Splitter => 4097;

    public static float FromCount(long count) => count;

    public static float Exp(float x)
    {
        int k = Exponent(x);
        float exp = (1 + Fraction(x, k)) * PowerOfTwo(k);
        exp = x < Underflow ? 0 : exp;
        return float.IsNaN(x) ? x : exp; // of a NaN, ILGPU's OpenCL code takes the wrong side of the comparison above
    }

    public static float Tanh(float x)
    {
        float size = x < 0 ? -x : x;
        size = size > TanhIsOne ? TanhIsOne : size;
        float tanh;
        if (size < TanhIsSmall)
        {
            // (e^2x - 1) / (e^2x + 1), without the cancellation
            int k = Exponent(2 * size);
            float scale = PowerOfTwo(k);
            float m = (scale * Fraction(2 * size, k)) + (scale - 1);
            tanh = m / (m + 2);
        }
        else
        {
            tanh = 1 - (2 / (Exp(2 * size) + 1));
        }

        tanh = x < 0 ? -tanh : tanh;
        return float.IsNaN(x) ? x : tanh;
    }

    public static float GroupMax(float value) => GroupExtensions.AllReduce<float, MaxFloat>(value);

    /// <summary>The k for which <c>x - k*ln 2</c> is smallest.</summary>
    private static int Exponent(float x) => (int)((x * Log2E) + (x < 0 ? -0.5f : 0.5f));

    /// <summary><c>e^r - 1</c> for the rest <c>r = x - k*ln 2</c>, at most ln(2)/2 in size: its Taylor series to r^7.</summary>
    private static float Fraction(float x, int k)
    {
        float r = (x - (k * Ln2High)) - (k * Ln2Low);
        float tail = (1f / 720) + (r * (1f / 5040));
        tail = (1f / 120) + (r * tail);
        tail = (1f / 24) + (r * tail);
        tail = (1f / 6) + (r * tail);
        tail = (1f / 2) + (r * tail);
        return r + (r * r * tail);
    }

    private static float PowerOfTwo(int k) => Interop.IntAsFloat((uint)(k + 127) << 23);
}
