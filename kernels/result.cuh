// What follows from the state of a row, and what its gradient is made of.
#pragma once
#include "math.cuh"

// What follows from the state of a row. It lies in shared memory, as the epilogue would need too many registers for it.
struct Result {
    double logSum; // of sum, which is measured from max, in nats
    double referenceLogSum;
    double logProbability; // of the label
    double referenceLogProbability;
    double kl;
    double mean; // of the log-probabilities above -inf, over V
    double weight;
    double estimatorSlope; // of an estimated divergence, with respect to the label's log-probability
    int exact; // summed in float64
    int unused;
};

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

// Coefficients in the making: of probabilities, times the row's scale.
struct GradientTerms {
    double label; // this and the next are the policy's, but that the label takes the first away again
    double rest; // without the divergence
    double divergence; // the policy's share in it
    double reference;
};

// What is measured from a maximum, divided by fromMax, is measured from the point of the loops, which is above it by the residue.
struct GradientPoints {
    double residue;
    double fromMax;
    double referenceResidue;
};
