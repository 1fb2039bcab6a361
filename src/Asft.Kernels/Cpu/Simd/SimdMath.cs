using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Asft.Kernels.Cpu.Simd;

/// <summary>The two transcendental functions of the loss, on a register of floats or doubles.</summary>
internal static class SimdMath<TV, T>
    where TV : struct, ISimd<TV, T>
    where T : unmanaged
{
    // The coefficients of 2^r, of a degree each. The products with the headroom stand in the code below as constants: any other way to write
    // them leaves the compiler with constants that it finds late, and spends the loops' registers on.
    private const double F5 = 1.32764726319508762770e-03;
    private const double F4 = 9.67554134312132753382e-03;
    private const double F3 = 5.55071327185564442064e-02;
    private const double F2 = 2.40221197237107192413e-01;
    private const double F1 = 6.93146967065035202182e-01;
    private const double F0 = 1.00000007165471416215e+00;
    private const double D11 = 4.43528270695727721093e-10;
    private const double D10 = 7.07410561350814305421e-09;
    private const double D9 = 1.01781980216719306827e-07;
    private const double D8 = 1.32154330896764000593e-06;
    private const double D7 = 1.52527334899885250635e-05;
    private const double D6 = 1.54035304625144321570e-04;
    private const double D5 = 1.33335581467899227937e-03;
    private const double D4 = 9.61812910758833537750e-03;
    private const double D3 = 5.55041086648199247233e-02;
    private const double D2 = 2.40226506959101554495e-01;
    private const double D1 = 6.93147180559945286227e-01;
    private const double D0 = 1;

    /// <summary>log2 e, rounded to <typeparamref name="T"/>: what logits are multiplied with before <see cref="Exp2"/>.</summary>
    public static double Log2E => typeof(T) == typeof(float) ? (float)1.4426950408889634 : 1.4426950408889634;

    /// <summary>Whether <c>TV.MultiplyAdd</c> rounds once.</summary>
    public static bool FusesMultiplyAdd =>
#if !NET9_0_OR_GREATER
        typeof(TV) == typeof(Simd512<T>) ? Avx512F.IsSupported : // .NET 8 makes nothing narrower of it
#endif
        Fma.IsSupported || AdvSimd.IsSupported;

    /// <summary>
    /// The binary exponent of what <see cref="Exp2"/> multiplies with. A probability is measured from the largest of its row, so all but
    /// 2^0 lies below 1, where a float ends at 2^-126; this much more of them is kept, for weights far above 1.
    /// </summary>
    public const int Headroom = 64;

    /// <summary>2^Headroom.</summary>
    public const double HeadroomScale = 18446744073709551616.0;

    /// <summary>
    /// 2^(t + <see cref="Headroom"/>) for t of at most about 40 (900 in double), within 3e-7 of itself in float and 4e-16 in double; 0 or
    /// a subnormal number below the smallest normal one; 0 for -inf; NaN for NaN. Of two registers, step by step side by side: each is
    /// one long chain of dependent instructions, and the processor looks ahead too little to find the second behind the first.
    /// </summary>
    /// <remarks>
    /// 2^t = 2^n * 2^r with n = round(t) and |r| &lt;= 1/2, where r is exact and 2^r a minimax polynomial (Remez, relative error 7.5e-8
    /// in float and 3.1e-18 in double). Base 2, because then only the polynomial and one product occupy the multipliers, which are
    /// what the loop waits for.
    /// </remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static (TV A, TV B) Exp2(TV a, TV b)
    {
        TV rA = TV.Split(a, out TV nA);
        TV rB = TV.Split(b, out TV nB);
        TV qA, qB;

        // Where TimesPowerOfTwo leaves the headroom to its q. The condition stands here in full, as the compiler sees it in time only so, and
        // otherwise takes in both branches before it drops one.
        if (typeof(T) == typeof(float) && typeof(TV) == typeof(Simd512<T>) && Avx512F.IsSupported)
        {
            qA = TV.MultiplyAdd(C(F5 * HeadroomScale), rA, C(F4 * HeadroomScale));
            qB = TV.MultiplyAdd(C(F5 * HeadroomScale), rB, C(F4 * HeadroomScale));
            Step(ref qA, rA, ref qB, rB, F3 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, F2 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, F1 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, F0 * HeadroomScale);
        }
        else if (typeof(T) == typeof(float))
        {
            qA = TV.MultiplyAdd(C(F5), rA, C(F4));
            qB = TV.MultiplyAdd(C(F5), rB, C(F4));
            Step(ref qA, rA, ref qB, rB, F3);
            Step(ref qA, rA, ref qB, rB, F2);
            Step(ref qA, rA, ref qB, rB, F1);
            Step(ref qA, rA, ref qB, rB, F0);
        }
#if !NET9_0_OR_GREATER
        else
        {
            (qA, qB) = LongPolynomial(rA, rB);
        }
#else
        else if (typeof(TV) == typeof(Simd512<T>) && Avx512F.IsSupported)
        {
            qA = TV.MultiplyAdd(C(D11 * HeadroomScale), rA, C(D10 * HeadroomScale));
            qB = TV.MultiplyAdd(C(D11 * HeadroomScale), rB, C(D10 * HeadroomScale));
            Step(ref qA, rA, ref qB, rB, D9 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D8 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D7 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D6 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D5 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D4 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D3 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D2 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D1 * HeadroomScale);
            Step(ref qA, rA, ref qB, rB, D0 * HeadroomScale);
        }
        else
        {
            qA = TV.MultiplyAdd(C(D11), rA, C(D10));
            qB = TV.MultiplyAdd(C(D11), rB, C(D10));
            Step(ref qA, rA, ref qB, rB, D9);
            Step(ref qA, rA, ref qB, rB, D8);
            Step(ref qA, rA, ref qB, rB, D7);
            Step(ref qA, rA, ref qB, rB, D6);
            Step(ref qA, rA, ref qB, rB, D5);
            Step(ref qA, rA, ref qB, rB, D4);
            Step(ref qA, rA, ref qB, rB, D3);
            Step(ref qA, rA, ref qB, rB, D2);
            Step(ref qA, rA, ref qB, rB, D1);
            Step(ref qA, rA, ref qB, rB, D0);
        }
#endif

        return (TV.TimesPowerOfTwo(qA, nA), TV.TimesPowerOfTwo(qB, nB));
    }

#if !NET9_0_OR_GREATER
    /// <summary>The same, called: for loops that have used up the inlining that .NET 8 allows them.</summary>
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    public static (TV A, TV B) CallExp2(TV a, TV b) => Exp2(a, b);

    /// <summary>The polynomial of doubles, as a loop: its steps one by one would use up what inlining .NET 8 allows a method.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (TV A, TV B) LongPolynomial(TV rA, TV rB)
    {
        double headroom = typeof(TV) == typeof(Simd512<T>) && Avx512F.IsSupported ? HeadroomScale : 1;
        TV qA = C(D11 * headroom);
        TV qB = qA;
        ReadOnlySpan<double> coefficients = [D10, D9, D8, D7, D6, D5, D4, D3, D2, D1, D0];
        for (int i = 0; i < coefficients.Length; i++)
        {
            TV c = C(coefficients[i] * headroom);
            qA = TV.MultiplyAdd(qA, rA, c);
            qB = TV.MultiplyAdd(qB, rB, c);
        }

        return (qA, qB);
    }
#endif

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Step(ref TV qA, TV rA, ref TV qB, TV rB, double coefficient)
    {
#if NET9_0_OR_GREATER
        qA = TV.MultiplyAdd(qA, rA, C(coefficient));
        qB = TV.MultiplyAdd(qB, rB, C(coefficient));
#else
        TV c = C(coefficient); // once, as there is little inlining
        qA = TV.MultiplyAdd(qA, rA, c);
        qB = TV.MultiplyAdd(qB, rB, c);
#endif
    }

    /// <summary>tanh a, within a few units in the last place, and its derivative 1 - tanh² a, likewise.</summary>
    /// <remarks>
    /// Away from 0, <c>1 - 2/(e^(2|a|) + 1)</c>. Near 0 that would cancel: there the continued fraction of Lambert,
    /// <c>a/(1 + a²/(3 + a²/(5 + ...)))</c>, truncated where it is exact to the last place for |a| below the switch. The derivative is
    /// <c>4*e^(2|a|)/(e^(2|a|) + 1)²</c> away from 0, where 1 - tanh has no digits left.
    /// </remarks>
#if NET9_0_OR_GREATER
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
#else
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
#endif
    public static (TV Tanh, TV Derivative) Tanh(TV a)
    {
        TV one = C(1);
        TV size = TV.Abs(a);

        // At 20 (9 in float) tanh rounds to 1; beyond, e^(2|a|) could overflow. Max keeps its second operand when that is a NaN.
        TV bounded = C(0) - TV.Max(C(-20), C(0) - size);
        TV exponent = bounded * C(2 * 1.4426950408889634);
        TV exp = Exp2(exponent, exponent).A * C(1 / HeadroomScale);
        TV inverse = one / (exp + one);
        TV large = one - (C(2) * inverse);

        TV square = a * a;
        TV fraction = C(typeof(T) == typeof(float) ? 11 : 17);
        for (int k = typeof(T) == typeof(float) ? 9 : 15; k >= 1; k -= 2)
        {
            fraction = C(k) + (square / fraction);
        }

        TV small = size / fraction;
        TV magnitude = TV.Select(size, C(0.6), small, large);
        TV derivative = TV.Select(size, C(0.6), (one - small) * (one + small), C(4) * (exp * inverse) * inverse);
        return (TV.Select(a, C(0), C(0) - magnitude, magnitude), derivative);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TV C(double value) =>
        typeof(T) == typeof(float) ? TV.Create((T)(object)(float)value) : TV.Create((T)(object)value);
}
