// A softcap: y = tanh(inner*x) of a logit x.
//
// In float32 there are two curves, with u for inner*x. Near zero, up to |u| = 0.6, a polynomial: u*P(u^2), within 8e-8 of tanh, in six
// instructions of which none is a special function. Farther out, 1 - 2/(1 + e^|2u|) with the sign of u, within 5e-7 of tanh, which would
// lose its digits near zero; infinities and NaN pass through it. A chunk of logits that are all near takes the one curve alone. Each logit
// lies on the same curve wherever it is read, so that a label and the sum that it is a term of agree in every bit. (The hardware's own tanh
// is good to 11 bits only.)
//
// The factors of P hold the powers of inner already, where those are numbers of float32: then the unit is 1, and x itself is near or not.
#pragma once
#include "math.cuh"

__device__ __forceinline__ float nearCurve(const Softcap& c, float u) {
    float square = u * u;
    float curve = fma(c.curve[4], square, c.curve[3]);
    curve = fma(curve, square, c.curve[2]);
    curve = fma(curve, square, c.curve[1]);
    curve = fma(curve, square, c.curve[0]);
    return u * curve;
}

__device__ __forceinline__ float capped(const Scaling& scaling, float x) {
    const Softcap& c = scaling.softcap;
    float u = x * c.unit;
    float size = fabsf(u);
    float far = fma(-2.0f, fast::reciprocal(1.0f + fast::exp2(size * c.exponent)), 1.0f);
    return fast::choose(size, c.nearest, nearCurve(c, u), fast::withSignOf(u, far));
}

__device__ __forceinline__ double capped(const Scaling& scaling, double x) { return tanh(scaling.inner * x); }
