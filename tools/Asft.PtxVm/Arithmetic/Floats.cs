namespace Asft.PtxVm.Arithmetic;

/// <summary>Floating point as a GPU does it: one NaN, subnormals flushed on request, any rounding, 16-bit formats.</summary>
internal static class Floats
{
    public const uint NaN32 = 0x7FFFFFFF;
    public const ulong NaN64 = 0x7FFFFFFFFFFFFFFF;
    public const uint NaN16 = 0x7FFF;

    public static float NaN => BitConverter.UInt32BitsToSingle(NaN32);

    public static float Canonical(float value) => float.IsNaN(value) ? NaN : value;

    public static double Canonical(double value) => double.IsNaN(value) ? BitConverter.UInt64BitsToDouble(NaN64) : value;

    public static float Flush(float value)
    {
        var bits = BitConverter.SingleToUInt32Bits(value);
        return (bits & 0x7F800000) == 0 ? BitConverter.UInt32BitsToSingle(bits & 0x80000000) : value;
    }

    public static float Flush(float value, bool flush) => flush ? Flush(value) : value;

    public static float Saturate(float value) => value > 0 ? Math.Min(value, 1f) : 0f; // NaN too gives 0

    public static double Saturate(double value) => value > 0 ? Math.Min(value, 1.0) : 0.0;

    public static float Min(float a, float b) =>
        float.IsNaN(a) ? Canonical(b) : float.IsNaN(b) ? a : MathF.Min(a, b);

    public static float Max(float a, float b) =>
        float.IsNaN(a) ? Canonical(b) : float.IsNaN(b) ? a : MathF.Max(a, b);

    public static double Min(double a, double b) =>
        double.IsNaN(a) ? Canonical(b) : double.IsNaN(b) ? a : Math.Min(a, b);

    public static double Max(double a, double b) =>
        double.IsNaN(a) ? Canonical(b) : double.IsNaN(b) ? a : Math.Max(a, b);

    public static float MinNaN(float a, float b) => float.IsNaN(a) || float.IsNaN(b) ? NaN : MathF.Min(a, b);

    public static float MaxNaN(float a, float b) => float.IsNaN(a) || float.IsNaN(b) ? NaN : MathF.Max(a, b);

    /// <summary>a * b + c in a format, rounded once; float32 and float64 to nearest have hardware for it.</summary>
    public static double MultiplyAdd(double a, double b, double c, Format format, Rounding rounding)
    {
        if (!double.IsFinite(a) || !double.IsFinite(b) || !double.IsFinite(c))
        {
            // a finite product must not overflow double, in which c is an infinity or NaN and decides alone
            return double.IsFinite(a) && double.IsFinite(b) ? Canonical(c) : Canonical(a * b + c);
        }

        var exact = Exact.Of(a) * Exact.Of(b) + Exact.Of(c);
        if (!exact.Significand.IsZero)
        {
            return Signed(exact.Round(format, rounding), exact.Significand.Sign < 0);
        }

        var negativeProduct = double.IsNegative(a) != double.IsNegative(b);
        return negativeProduct == double.IsNegative(c) ? (negativeProduct ? -0.0 : 0.0) : rounding == Rounding.Down ? -0.0 : 0.0;
    }

    public static double Add(double a, double b, Format format, Rounding rounding) => MultiplyAdd(a, 1, b, format, rounding);

    public static double Multiply(double a, double b, Format format, Rounding rounding)
    {
        if (!double.IsFinite(a) || !double.IsFinite(b) || a == 0 || b == 0)
        {
            return Canonical(a * b);
        }

        var exact = Exact.Of(a) * Exact.Of(b);
        return Signed(exact.Round(format, rounding), exact.Significand.Sign < 0);
    }

    public static double Divide(double a, double b, Format format, Rounding rounding)
    {
        if (!double.IsFinite(a) || !double.IsFinite(b) || a == 0 || b == 0)
        {
            return Canonical(a / b);
        }

        var exact = Exact.Of(a) / Exact.Of(b);
        return Signed(exact.Round(format, rounding), exact.Significand.Sign < 0);
    }

    public static double Sqrt(double a, Format format, Rounding rounding) =>
        !double.IsFinite(a) || a <= 0 ? Canonical(Math.Sqrt(a)) : Exact.Of(a).Sqrt().Round(format, rounding);

    /// <summary>Rounds to a format a number that double holds exactly.</summary>
    public static double Round(double a, Format format, Rounding rounding) =>
        !double.IsFinite(a) || a == 0 ? Canonical(a) : Signed(Exact.Of(a).Round(format, rounding), a < 0);

    public static double ToIntegral(double a, Rounding rounding) => rounding switch
    {
        Rounding.Nearest => Math.Round(a, MidpointRounding.ToEven),
        Rounding.Zero => Math.Truncate(a),
        Rounding.Down => Math.Floor(a),
        Rounding.Up => Math.Ceiling(a),
        _ => Math.Round(a, MidpointRounding.AwayFromZero),
    };

    public static float FromHalf(uint bits) => Canonical((float)BitConverter.UInt16BitsToHalf((ushort)bits));

    public static float FromBFloat16(uint bits) => BitConverter.UInt32BitsToSingle(bits << 16);

    /// <summary>To float16 bits, from a number that double holds exactly.</summary>
    public static uint ToHalf(double value, Rounding rounding = Rounding.Nearest)
    {
        if (double.IsNaN(value))
        {
            return NaN16;
        }

        var rounded = rounding == Rounding.Nearest ? (Half)value : (Half)Round(value, Format.Half, rounding);
        return BitConverter.HalfToUInt16Bits(rounded);
    }

    /// <summary>To bfloat16 bits, from a number that double holds exactly.</summary>
    public static uint ToBFloat16(double value, Rounding rounding = Rounding.Nearest) =>
        double.IsNaN(value) ? NaN16 : BitConverter.SingleToUInt32Bits((float)Round(value, Format.BFloat16, rounding)) >> 16;

    private static double Signed(double value, bool negative) => value == 0 && negative ? -0.0 : value;
}
