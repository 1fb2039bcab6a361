using System.Runtime.Intrinsics;
using Asft.PtxVm.Execution;

namespace Asft.PtxVm.Arithmetic;

/// <summary>
/// The approximate instructions, each as wrong as its documentation allows and no better: the exact result, moved by an error that is a
/// fixed function of the operand and evenly spread up to the bound, then rounded. Special operands give what the documentation lists.
/// </summary>
/// <param name="errs">Whether it errs; else results are correctly rounded.</param>
/// <param name="seed">Chooses among the errors.</param>
internal sealed class Approximate(bool errs, int seed)
{
    // The PTX ISA's bounds, less the half unit in the last place (2^-24) that rounding adds, and a trifle for the rounding here.
    private static readonly double Ex2Bound = (Math.Pow(2, -22) - Math.Pow(2, -24)) * (1 - 1e-6);
    private static readonly double Lg2Bound = Math.Pow(2, -22.6) - Math.Pow(2, -24);
    private static readonly double RcpBound = Math.Pow(2, -23) - Math.Pow(2, -24);
    private static readonly double RsqrtBound = Math.Pow(2, -22.4) - Math.Pow(2, -24);
    private static readonly double SineBound = Math.Pow(2, -20.9) - Math.Pow(2, -24);
    private static readonly double TanhBound = Math.Pow(2, -11) - Math.Pow(2, -24);
    private const double DivUnits = 1.5; // of 2 units in the last place, less the half that rounding adds

    private readonly uint _seed = (uint)seed * 0x9E3779B9;

    public Vector256<float> Ex2(Vector256<float> a, bool flush)
    {
        a = Flushing.Of(a);

        // of integers it is exact: CUDA's own double-precision functions are right only if so
        var error = Vector256.ConditionalSelect(
            Vector256.Equals(Vector256.Floor(a), a), Vector256<float>.Zero, Errors(a) * Vector256.Create((float)Ex2Bound));

        // beyond these bounds the result is infinite or 0 all the same
        var (low, high) = Vector256.Widen(Vector256.Max(Vector256.Create(-160f), Vector256.Min(Vector256.Create(130f), a)));
        var (lowError, highError) = Vector256.Widen(error);
        var one = Vector256<double>.One;
        var result = Vector256.Narrow(PowerOf2(low) * (one + lowError), PowerOf2(high) * (one + highError));
        result = VectorFloats.Canonical(Vector256.ConditionalSelect(Vector256.Equals(a, a), result, a));
        return flush ? Flushing.Of(result) : result;
    }

    public float Lg2(float a, bool flush)
    {
        a = Floats.Flush(a, flush);
        if (float.IsNaN(a) || a < 0)
        {
            return Floats.NaN;
        }

        if (a == 0 || float.IsInfinity(a))
        {
            return a == 0 ? float.NegativeInfinity : a;
        }

        // an absolute bound where the logarithm is within 1 of 0, a relative one beyond
        var exact = Math.Log2(a);
        return Floats.Flush((float)(exact + Error(a) * Lg2Bound * Math.Max(1, Math.Abs(exact))), flush);
    }

    public float Rcp(float a, bool flush) => Relative(1.0 / Floats.Flush(a, flush), a, RcpBound, flush);

    public float Sqrt(float a, bool flush)
    {
        a = Floats.Flush(a, flush);
        return Relative(Math.Sqrt(a), a, RcpBound, flush);
    }

    public float Rsqrt(float a, bool flush)
    {
        a = Floats.Flush(a, flush);
        return Relative(a == 0 ? 1.0 / a : 1 / Math.Sqrt(a), a, RsqrtBound, flush);
    }

    public float Sin(float a, bool flush) => Absolute(Math.Sin(Floats.Flush(a, flush)), a, flush);

    public float Cos(float a, bool flush) => Absolute(Math.Cos(Floats.Flush(a, flush)), a, flush);

    public float Tanh(float a) => Relative(Math.Tanh(a), a, TanhBound, flush: false);

    /// <summary>div.full and div.approx.</summary>
    public float Div(float a, float b, bool flush)
    {
        a = Floats.Flush(a, flush);
        b = Floats.Flush(b, flush);
        var magnitude = Math.Abs(b);
        if (magnitude > 8.507059173023462e37f && !float.IsNaN(a)) // above 2^126
        {
            return float.IsInfinity(a) ? Floats.NaN : Signed(0f, (a < 0) != (b < 0));
        }

        var exact = (double)a / b;
        if (!double.IsFinite(exact) || exact == 0)
        {
            return Floats.Canonical((float)exact);
        }

        var unit = Math.ScaleB(1, Math.Max(Math.ILogB(exact) - 23, -149));
        var both = BitConverter.UInt32BitsToSingle(
            BitConverter.SingleToUInt32Bits(a) ^ uint.RotateLeft(BitConverter.SingleToUInt32Bits(b), 7));
        return Floats.Flush((float)(exact + Error(both) * DivUnits * unit), flush);
    }

    /// <summary>rcp.approx.ftz.f64: reads the upper half of the operand and gives the upper half of the result.</summary>
    public static double GrossReciprocal(double a) => Upper(1 / Flush(Upper(a)));

    /// <summary>rsqrt.approx.ftz.f64, likewise.</summary>
    public static double GrossInverseRoot(double a)
    {
        a = Flush(Upper(a));
        return Upper(a == 0 ? 1 / a : 1 / Math.Sqrt(a));
    }

    public float Ex2Half(float a, double bound) => Relative(Math.Pow(2, a), a, bound, flush: false);

    // 2^x to well beyond float32, by the Taylor series of e^t around the nearest integer.
    private static Vector256<double> PowerOf2(Vector256<double> x)
    {
        // adding this much leaves the nearest integer in the lowest bits
        var shifter = Vector256.Create(6755399441055744.0);
        var whole = x + shifter;
        var t = (x - (whole - shifter)) * Vector256.Create(0.69314718055994530942);
        var p = Vector256.Create(1.0 / 3628800);
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 362880));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 40320));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 5040));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 720));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 120));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 24));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(1.0 / 6));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256.Create(0.5));
        p = Vector256.FusedMultiplyAdd(p, t, Vector256<double>.One);
        p = Vector256.FusedMultiplyAdd(p, t, Vector256<double>.One);
        return p * ((whole.AsInt64() + Vector256.Create(1023L)) << 52).AsDouble();
    }

    private float Relative(double exact, float operand, double bound, bool flush)
    {
        if (double.IsNaN(exact))
        {
            return Floats.NaN;
        }

        return Floats.Flush((float)(exact * (1 + Error(operand) * bound)), flush);
    }

    private float Absolute(double exact, float operand, bool flush) =>
        double.IsNaN(exact)
            ? Floats.NaN
            : operand == 0 ? (float)exact : Floats.Flush((float)(exact + Error(operand) * SineBound), flush);

    // between -1 and 1, a fixed function of the operand's bits
    private float Error(float operand) => Errors(Vector256.CreateScalar(operand)).ToScalar();

    private Vector256<float> Errors(Vector256<float> operands)
    {
        if (!errs)
        {
            return Vector256<float>.Zero;
        }

        var hash = (operands.AsUInt32() ^ Vector256.Create(_seed)) * Vector256.Create(0x9E3779B1);
        hash = (hash ^ (hash >> 15)) * Vector256.Create(0x85EBCA77);
        hash ^= hash >> 13;
        return Vector256.ConvertToSingle(hash.AsInt32()) * Vector256.Create(1f / 2147483648f);
    }

    private static float Signed(float value, bool negative) => negative ? -value : value;

    private static double Upper(double a) =>
        double.IsNaN(a)
            ? Floats.Canonical(a)
            : BitConverter.UInt64BitsToDouble(BitConverter.DoubleToUInt64Bits(a) & 0xFFFFFFFF00000000);

    private static double Flush(double a) => double.IsSubnormal(a) ? Math.CopySign(0, a) : a;
}
