// What is made of a row's reference, each with its arithmetic: as template arguments these are constants to the compiler, so that what a
// loss does not use costs nothing. Their twins are in src/Asft.Kernels/Divergence, with the formulas.
//
// The cross term of a divergence is the sum of own mass * (own argument - other argument), where the model whose probabilities weigh the
// divergence is its own. The gradient of a divergence, of which the row's coefficients are made, is policy*p + reference*q (forward) or
// p*(policy + reference*(argument of p - argument of q)) (reverse).
#pragma once
#include "result.cuh"

// A logit as an exponential, in base 2 unless the mass is given.
template <typename Real>
struct Term {
    Real argument;
    Real mass;

    __device__ explicit Term(Real argumentOfMass) : argument(argumentOfMass), mass(fast::exp2(argumentOfMass)) {}
    __device__ Term(Real argumentInNats, Real massOfIt) : argument(argumentInNats), mass(massOfIt) {}
};

// By how much the argument of the model that weighs a pair of logits is above the other's.
template <typename Divergence, typename Real>
__device__ __forceinline__ Real differenceOf(const Term<Real>& p, const Term<Real>& q) {
    return Divergence::weighing(p, q).argument - Divergence::weighing(q, p).argument;
}

struct ReferenceSum;

// The reference is not read. What stands here is for a loss without divergence.
struct NoReference {
    static constexpr bool Reads = false; // the reference, for its log-sum-exp at least
    static constexpr bool IsSummed = false; // a cross term, as the rows are read
    static constexpr bool IsAnchored = false; // there is a divergence
    static constexpr bool HasCenter = false; // the gradient is made of differences, for which the reference has a point of its own
    typedef ReferenceSum Known; // of a state: the log-probabilities of the labels may have been given without logits

    // Of two values, that of the model whose probabilities weigh the divergence. Exchanged, that of the other.
    template <typename Value>
    __device__ static const Value& weighing(const Value& policy, const Value&) { return policy; }

    // The divergence of a row, from the logarithms of its two sums.
    __device__ static double divergence(const RowArguments&, const RowState&, double, double) { return 0; }

    // By how much an error in the policy's probabilities may show in the gradient of the divergence.
    __device__ static double steepness(double) { return 1; }

    // The coefficients of the divergence's gradient, with probabilities for p and q, and what the reference is measured from.
    __device__ static double ofPolicy(const RowArguments&, const RowState&, const Result&) { return 0; }
    static constexpr double OfReference = 0;
    __device__ static double pointOf(const RowState&) { return 0; }

    // The coefficients of the loops, whose exponentials are no probabilities: the reference's, and what else the policy's is.
    template <typename Real>
    __device__ static double addReference(Coefficients<Real>& c, const RowState&, const GradientTerms&, const GradientPoints&) {
        c.reference = 0;
        c.carefulReference = 0;
        return 0;
    }

    // The gradient of a logit, short of label smoothing.
    template <typename Real>
    __device__ static Real gradient(Real policy, Real, const Term<Real>& p, const Term<Real>&) { return policy * p.mass; }

    // The same in float64; argumentOf gives the arguments, in nats times Down, of the policy (0) and the reference (1).
    template <typename Real, typename Argument>
    __device__ static double gradientWithCare(const Coefficients<Real>& c, bool, Argument argumentOf) {
        return c.carefulPolicy * exp(argumentOf(0) * Up);
    }

    // At the label, short of what that takes away.
    __device__ static double atLabel(const RowArguments&, const RowState&, const Result&, const GradientTerms& terms, double probability) {
        return times(probability, terms.rest + terms.divergence);
    }
};

// The reference is read for its log-sum-exp, which importance ratios need, and has no part in the gradient.
struct ReferenceSum : NoReference {
    static constexpr bool Reads = true;
    typedef ReferenceSum Known;
};

// KL(ref || policy) = sum q*(lq - lp), of gradient p - q.
struct ForwardKl : ReferenceSum {
    static constexpr bool IsSummed = true;
    static constexpr bool IsAnchored = true;
    typedef ForwardKl Known;

    template <typename Value>
    __device__ static const Value& weighing(const Value&, const Value& reference) { return reference; }

    __device__ static double divergence(const RowArguments& a, const RowState& s, double logSum, double referenceLogSum) {
        return a.scaling.factor * (s.cross / s.referenceSum) + (logSum - referenceLogSum);
    }

    __device__ static double ofPolicy(const RowArguments&, const RowState&, const Result&) { return 1; }
    static constexpr double OfReference = -1;
    __device__ static double pointOf(const RowState& s) { return s.referenceMax; }

    template <typename Real>
    __device__ static double addReference(
        Coefficients<Real>& c, const RowState& s, const GradientTerms& terms, const GradientPoints& points) {
        c.reference = static_cast<Real>(times(terms.reference, exp(points.referenceResidue) / s.referenceSum));
        c.carefulReference = times(terms.reference, 1.0 / s.referenceSum);
        return 0;
    }

    template <typename Real>
    __device__ static Real gradient(Real policy, Real reference, const Term<Real>& p, const Term<Real>& q) {
        return fma(policy, p.mass, reference * q.mass);
    }

    template <typename Real, typename Argument>
    __device__ static double gradientWithCare(const Coefficients<Real>& c, bool anchored, Argument argumentOf) {
        double result = 0;
#pragma unroll 1 // one exponential after the other: together they take too many registers
        for (int model = 0; model < (anchored ? 2 : 1); model++) {
            result += (model == 0 ? c.carefulPolicy : c.carefulReference) * exp(argumentOf(model) * Up);
        }
        return result;
    }

    __device__ static double atLabel(
        const RowArguments&, const RowState&, const Result& r, const GradientTerms& terms, double probability) {
        return times(probability, terms.rest + terms.divergence) + times(terms.reference, exp(r.referenceLogProbability));
    }
};

// KL(policy || ref) = sum p*(lp - lq), of gradient p*(lp - lq - kl): a difference less the mean of the differences, where a constant
// between the rows is gone already.
struct ReverseKl : ReferenceSum {
    static constexpr bool IsSummed = true;
    static constexpr bool IsAnchored = true;
    static constexpr bool HasCenter = true;
    typedef ReverseKl Known;

    __device__ static double divergence(const RowArguments& a, const RowState& s, double logSum, double referenceLogSum) {
        double factor = a.scaling.factor;
        return factor * (s.cross / s.sum) + (farArgument(s.referenceMax, s.center, factor) * Up + (referenceLogSum - logSum));
    }

    __device__ static double steepness(double kl) { return 1.0 + kl; }

    __device__ static double ofPolicy(const RowArguments& a, const RowState& s, const Result&) {
        return -(a.scaling.factor * (s.cross / s.sum));
    }

    static constexpr double OfReference = 1;
    __device__ static double pointOf(const RowState& s) { return s.center; }

    template <typename Real>
    __device__ static double addReference(
        Coefficients<Real>& c, const RowState& s, const GradientTerms& terms, const GradientPoints& points) {
        c.reference = static_cast<Real>(terms.reference * Ln2 * points.fromMax / s.sum);
        c.carefulReference = terms.reference / s.sum;
        return terms.reference * (points.residue - points.referenceResidue);
    }

    template <typename Real>
    __device__ static Real gradient(Real policy, Real reference, const Term<Real>& p, const Term<Real>& q) {
        return p.mass * fma(reference, p.argument - q.argument, policy);
    }

    // What has no probability has no share.
    template <typename Real, typename Argument>
    __device__ static double gradientWithCare(const Coefficients<Real>& c, bool anchored, Argument argumentOf) {
        double argument = argumentOf(0);
        double p = exp(argument * Up);
        double result = p * c.carefulPolicy;
        if (anchored && p != 0) {
            result += p * c.carefulReference * (argument - argumentOf(1)) * Up;
        }
        return result;
    }

    __device__ static double atLabel(
        const RowArguments& a, const RowState& s, const Result&, const GradientTerms& terms, double probability) {
        double difference = differenceOfDistances(s.label * Down, s.max * Down, s.referenceLabel * Down, s.center * Down);
        return times(probability, terms.rest + terms.divergence + times(terms.reference, difference * a.scaling.factor * Up));
    }
};
