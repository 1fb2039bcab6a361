// What all elements of a row's gradient are made of.
#pragma once
#include "math.cuh"

// The gradient of a row is, with p = 2^(base2*y - base(max)) and q likewise of the reference,
//   policy*p + reference*q - smoothing                                    (forward)
//   p*(policy + reference*(argument of p - argument of q)) - smoothing    (reverse)
// times 1 - y^2 under a softcap. The sums are in the coefficients already. With care, that is, for an element of which this is not finite,
// and for every element of a row whose points base 2 cannot hold or whose coefficients or terms need more than float32, it is the same
// with the second set of coefficients, p = e^(factor*(y - max)), and arguments in nats.
template <typename Real>
struct Coefficients {
    Real policy;
    Real reference;
    Real max;
    Real smoothing;
    Real referenceMax;
    Real atLabel; // the gradient at the label itself, where 1 is taken away before anything is rounded
    double carefulMax;
    double carefulReferenceMax;
    double carefulPolicy;
    double carefulReference;
    double carefulSmoothing;
    int none; // the row has no gradient: every element is NaN
    int careful;
    int anchored; // the reference takes part
    int doubtful; // there are no coefficients yet: the row is to be summed in float64
};
