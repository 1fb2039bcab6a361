#if !NET9_0_OR_GREATER
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Asft.Kernels.Cpu.Simd;

/// <summary>
/// What .NET 9 added to its vectors and the loops are built on, for .NET 8: the same instructions. Registers of 256 and 512 bits are x86's;
/// .NET 8 has no AVX-512 without FMA.
/// </summary>
internal static class Net8Vectors
{
    extension(Vector128)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<T> MaxNative<T>(Vector128<T> left, Vector128<T> right) =>
            Sse2.IsSupported ? typeof(T) == typeof(float)
                ? Sse.Max(left.AsSingle(), right.AsSingle()).As<float, T>()
                : Sse2.Max(left.AsDouble(), right.AsDouble()).As<double, T>()
            : AdvSimd.Arm64.IsSupported ? typeof(T) == typeof(float)
                ? AdvSimd.Max(left.AsSingle(), right.AsSingle()).As<float, T>()
                : AdvSimd.Arm64.Max(left.AsDouble(), right.AsDouble()).As<double, T>()
            : Vector128.ConditionalSelect(Vector128.GreaterThan(left, right), left, right);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<T> MinNative<T>(Vector128<T> left, Vector128<T> right) =>
            Sse2.IsSupported ? typeof(T) == typeof(float)
                ? Sse.Min(left.AsSingle(), right.AsSingle()).As<float, T>()
                : Sse2.Min(left.AsDouble(), right.AsDouble()).As<double, T>()
            : AdvSimd.Arm64.IsSupported ? typeof(T) == typeof(float)
                ? AdvSimd.Min(left.AsSingle(), right.AsSingle()).As<float, T>()
                : AdvSimd.Arm64.Min(left.AsDouble(), right.AsDouble()).As<double, T>()
            : Vector128.ConditionalSelect(Vector128.LessThan(left, right), left, right);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<float> MultiplyAddEstimate(Vector128<float> left, Vector128<float> right, Vector128<float> addend) =>
            Fma.IsSupported ? Fma.MultiplyAdd(left, right, addend)
            : AdvSimd.IsSupported ? AdvSimd.FusedMultiplyAdd(addend, left, right)
            : (left * right) + addend;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<double> MultiplyAddEstimate(Vector128<double> left, Vector128<double> right, Vector128<double> addend) =>
            Fma.IsSupported ? Fma.MultiplyAdd(left, right, addend)
            : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.FusedMultiplyAdd(addend, left, right)
            : (left * right) + addend;
    }

    extension(Vector256)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<T> MaxNative<T>(Vector256<T> left, Vector256<T> right) =>
            !Avx.IsSupported ? Vector256.ConditionalSelect(Vector256.GreaterThan(left, right), left, right)
            : typeof(T) == typeof(float) ? Avx.Max(left.AsSingle(), right.AsSingle()).As<float, T>()
            : Avx.Max(left.AsDouble(), right.AsDouble()).As<double, T>();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<T> MinNative<T>(Vector256<T> left, Vector256<T> right) =>
            !Avx.IsSupported ? Vector256.ConditionalSelect(Vector256.LessThan(left, right), left, right)
            : typeof(T) == typeof(float) ? Avx.Min(left.AsSingle(), right.AsSingle()).As<float, T>()
            : Avx.Min(left.AsDouble(), right.AsDouble()).As<double, T>();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<float> MultiplyAddEstimate(Vector256<float> left, Vector256<float> right, Vector256<float> addend) =>
            Fma.IsSupported ? Fma.MultiplyAdd(left, right, addend) : (left * right) + addend;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector256<double> MultiplyAddEstimate(Vector256<double> left, Vector256<double> right, Vector256<double> addend) =>
            Fma.IsSupported ? Fma.MultiplyAdd(left, right, addend) : (left * right) + addend;
    }

    extension(Vector512)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<T> MaxNative<T>(Vector512<T> left, Vector512<T> right) =>
            !Avx512F.IsSupported ? Vector512.ConditionalSelect(Vector512.GreaterThan(left, right), left, right)
            : typeof(T) == typeof(float) ? Avx512F.Max(left.AsSingle(), right.AsSingle()).As<float, T>()
            : Avx512F.Max(left.AsDouble(), right.AsDouble()).As<double, T>();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<T> MinNative<T>(Vector512<T> left, Vector512<T> right) =>
            !Avx512F.IsSupported ? Vector512.ConditionalSelect(Vector512.LessThan(left, right), left, right)
            : typeof(T) == typeof(float) ? Avx512F.Min(left.AsSingle(), right.AsSingle()).As<float, T>()
            : Avx512F.Min(left.AsDouble(), right.AsDouble()).As<double, T>();

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<float> MultiplyAddEstimate(Vector512<float> left, Vector512<float> right, Vector512<float> addend) =>
            Avx512F.IsSupported ? Avx512F.FusedMultiplyAdd(left, right, addend) : (left * right) + addend;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector512<double> MultiplyAddEstimate(Vector512<double> left, Vector512<double> right, Vector512<double> addend) =>
            Avx512F.IsSupported ? Avx512F.FusedMultiplyAdd(left, right, addend) : (left * right) + addend;
    }
}
#endif
