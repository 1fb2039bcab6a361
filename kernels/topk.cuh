// A reference of which the most likely entries of each row are known. Its divergence is over these, each by itself, and over the rest as
// one entry, the tail; by the log-sum inequality that is a lower bound of the whole divergence. Formulas: TopKTail in src/Asft.Kernels.
// The reference's sum and the cross term of a state are over the entries; the reference's y of the label is NaN where that is none of them.
#pragma once
#include "epilogue.cuh"

// The tail: its mass in each model, and the logarithm of their ratio, where the tail has a term: where the mass that weighs it is not 0.
struct Tail {
    bool isForward;
    double policy;
    double reference;
    double logRatio;

    __device__ Tail(const RowArguments& a, const RowState& s) {
        double rest = 1.0 - s.referenceSum;
        isForward = a.topK.isForward != 0;
        policy = s.tailSum / s.sum;
        // Where the policy has no tail at all, what rounding has left of 1 is none of the reference's. NaN passes.
        constexpr double Rounding = 1e-6;
        reference = rest < 0 || (policy == 0 && rest < Rounding) ? 0.0 : rest;
        logRatio = (isForward ? reference : policy) == 0 ? 0.0 : log(policy) - log(reference);
    }
};

// Of the gradient's coefficients, those of the policy are for the tail; an entry has the divergence's own part in place of the tail's.
struct TopK : NoReference {
    static constexpr bool IsAnchored = true;
    typedef TopK Known;

    __device__ static double divergence(const RowArguments& a, const RowState& s, double logSum, double) {
        Tail tail(a, s);
        double factor = a.scaling.factor;
        return tail.isForward ? factor * s.cross + s.referenceSum * logSum - tail.reference * tail.logRatio
            : factor * (s.cross / s.sum) - (1.0 - tail.policy) * logSum + tail.policy * tail.logRatio;
    }

    __device__ static double steepness(double kl) { return 1.0 + kl; }

    __device__ static double ofPolicy(const RowArguments& a, const RowState& s, const Result& r) {
        Tail tail(a, s);
        return !tail.isForward ? tail.logRatio - r.kl : tail.policy == 0 ? 0.0 : 1.0 - tail.reference / tail.policy;
    }

    static constexpr double OfReference = 1;

    template <typename Real>
    __device__ static double addReference(Coefficients<Real>& c, const RowState& s, const GradientTerms& terms, const GradientPoints&) {
        c.reference = 0;
        c.carefulReference = (terms.label + terms.rest) / s.sum; // of the policy, for an entry
        return 0;
    }

    // The divergence's gradient at an entry, from the policy's probability and both logarithms.
    __device__ static double atEntry(const RowArguments& a, double probability, double log, double referenceLog, double kl) {
        return a.topK.isForward != 0 ? probability - exp(referenceLog) : times(probability, log - referenceLog - kl);
    }

    __device__ static double atLabel(
        const RowArguments& a, const RowState& s, const Result& r, const GradientTerms& terms, double probability) {
        if (isnan(s.referenceLabel)) {
            return NoReference::atLabel(a, s, r, terms, probability);
        }
        double own = atEntry(a, probability, r.logProbability, a.scaling.factor * s.referenceLabel, r.kl);
        return times(probability, terms.rest) + times(terms.reference, own);
    }
};
