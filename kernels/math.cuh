// The few functions that the loops need, in float32 and in float64. A float32 function is one or a few instructions; none is a library
// call. Every fused multiply-add is written as one: the compiler may fuse nothing by itself, so that policy and reference, computed by
// the same expressions, keep the same bits, and the KL divergence of equal rows is exactly 0.
#pragma once
#include "arguments.cuh"

constexpr double Ln2 = 0.69314718055994530942;
constexpr unsigned FullWarp = 0xFFFFFFFFu;
constexpr int WarpSize = 32;

__device__ __forceinline__ float fusedMultiplyAdd(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ double fusedMultiplyAdd(double a, double b, double c) { return __fma_rn(a, b, c); }

__device__ __forceinline__ float larger(float a, float b) { return fmaxf(a, b); } // a number, where one of them is NaN
__device__ __forceinline__ double larger(double a, double b) { return fmax(a, b); }

template <typename Real>
__device__ __forceinline__ Real infinity() { return static_cast<Real>(__int_as_float(0x7F800000)); }

template <typename Real>
__device__ __forceinline__ Real notANumber() { return static_cast<Real>(__int_as_float(0x7FC00000)); }

template <typename Real>
__device__ __forceinline__ constexpr double largestNumber() { return sizeof(Real) == 4 ? 3.4028234663852886e38 : 1.7976931348623157e308; }

__device__ __forceinline__ bool isFinite(float a) { return fabsf(a) < infinity<float>(); }
__device__ __forceinline__ bool isFinite(double a) { return fabs(a) < infinity<double>(); }

// 2^x. In float32 one instruction of the special function unit, within 2^-22; what is below 2^-126 is 0.
__device__ __forceinline__ float exponential2(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ __forceinline__ double exponential2(double x) { return exp2(x); }

__device__ __forceinline__ float rounded(float x) { return rintf(x); }
__device__ __forceinline__ double rounded(double x) { return rint(x); }

// 2^n of an integer n up to 0, exactly; what is below the smallest normal number is 0.
__device__ __forceinline__ float powerOfTwo(float n) { return __int_as_float((max(__float2int_rn(n), -127) + 127) << 23); }
__device__ __forceinline__ double powerOfTwo(double n) { return __hiloint2double((max(__double2int_rn(n), -1023) + 1023) << 20, 0); }

__device__ __forceinline__ float reciprocal(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// tanh within 1.2e-7. Up to 1 an odd polynomial, which keeps the relative accuracy of small logits; above it 1 - 2/(e^2x + 1), whose
// quotient is small there. (The hardware's own tanh is good to 11 bits only.)
__device__ __forceinline__ float hyperbolicTangent(float x) {
    constexpr float TwoLog2E = 2.88539008f;
    float size = fabsf(x);
    float square = x * x;
    float series = 0.000142793186f;
    series = fusedMultiplyAdd(series, square, -0.000923500862f);
    series = fusedMultiplyAdd(series, square, 0.00320680346f);
    series = fusedMultiplyAdd(series, square, -0.00869784784f);
    series = fusedMultiplyAdd(series, square, 0.0218295492f);
    series = fusedMultiplyAdd(series, square, -0.0539634153f);
    series = fusedMultiplyAdd(series, square, 0.133333102f);
    series = fusedMultiplyAdd(series, square, -0.333333343f);
    float small = fusedMultiplyAdd(size * square, series, size);
    float large = fusedMultiplyAdd(-2.0f, reciprocal(exponential2(size * TwoLog2E) + 1.0f), 1.0f);
    return copysignf(size < 1.0f ? small : large, x);
}

__device__ __forceinline__ double hyperbolicTangent(double x) { return tanh(x); }
