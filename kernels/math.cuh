// The few functions that the loops need, in float32 and in float64. A float32 function is one or a few instructions; none is a library
// call. Every fused multiply-add is written as one (fma): the compiler may fuse nothing by itself, so that policy and reference, computed
// by the same expressions, keep the same bits, and the KL divergence of equal rows is exactly 0. Where one of two is NaN, max is the other.
#pragma once
#include "arguments.cuh"

constexpr double Ln2 = 0.69314718055994530942;
constexpr unsigned FullWarp = 0xFFFFFFFFu;

template <typename Real>
__device__ __forceinline__ Real infinity() { return static_cast<Real>(__int_as_float(0x7F800000)); }

template <typename Real>
__device__ __forceinline__ Real notANumber() { return static_cast<Real>(__int_as_float(0x7FC00000)); }

template <typename Real>
__device__ __forceinline__ constexpr double largestNumber() { return sizeof(Real) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308; }

__device__ __forceinline__ bool isFinite(float a) { return fabsf(a) < infinity<float>(); }
__device__ __forceinline__ bool isFinite(double a) { return fabs(a) < infinity<double>(); }

// 2^n of an integer n up to 0, exactly; what is below the smallest normal number is 0.
__device__ __forceinline__ float powerOfTwo(float n) { return __int_as_float((max(__float2int_rn(n), -127) + 127) << 23); }
__device__ __forceinline__ double powerOfTwo(double n) { return __hiloint2double((max(__double2int_rn(n), -1023) + 1023) << 20, 0); }

// In float32 of fewer instructions than CUDA's own; in float64 these are CUDA's own.
namespace fast {

// 2^x by the special function unit, within 2^-22; what is below 2^-126 is 0.
__device__ __forceinline__ float exp2(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ __forceinline__ double exp2(double x) { return ::exp2(x); }

__device__ __forceinline__ float reciprocal(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// "near" where size is up to limit, else "far", which NaN get too; both are there already, and threads do not part for it.
__device__ __forceinline__ float choose(float size, float limit, float near, float far) {
    float result;
    asm("{.reg .pred isNear; setp.le.f32 isNear, %1, %2; selp.f32 %0, %3, %4, isNear;}" : "=f"(result) : "f"(size), "f"(limit), "f"(near), "f"(far));
    return result;
}

__device__ __forceinline__ float withSignOf(float sign, float size) {
    float result;
    asm("copysign.f32 %0, %1, %2;" : "=f"(result) : "f"(sign), "f"(size));
    return result;
}

} // namespace fast

// Differences of logits in float64, in units that every difference of finite numbers fits into, be it scaled.
constexpr double Down = 7.888609052210118e-31; // 2^-100
constexpr double Up = 1.2676506002282294e30;

__device__ __forceinline__ double farArgument(double y, double max, double factor) { return (y * Down - max * Down) * factor; }

__device__ __forceinline__ double times(double factor, double value) { return factor == 0 ? 0.0 : factor * value; }

// By how much the rounded difference of two numbers is off (Knuth).
__device__ __forceinline__ double lost(double a, double b) {
    double difference = a - b;
    double back = difference - a;
    return (a - (difference - back)) - (b + back);
}

// (a - b) - (c - d), as exact as a double is even where both distances are far larger than what is left of them.
__device__ __forceinline__ double differenceOfDistances(double a, double b, double c, double d) {
    double difference = (a - b) - (c - d);
    double rest = lost(a, b) - lost(c, d);
    return isFinite(rest) ? difference + rest : difference;
}
