// From the sums of a row to its state, and from there to its outputs and to the coefficients of its gradient: once per row, by one thread,
// in float64, so that nothing is lost here. The formulas are those of TokenResult in src/Asft.Kernels.
#pragma once
#include "sums.cuh"

// What lies in shared memory is read from there again, and takes no registers meanwhile.
__device__ __forceinline__ void settle() { asm volatile("" ::: "memory"); }

template <typename Real>
__device__ __forceinline__ Real base2Of(const RowArguments& a) {
    return sizeof(Real) == 4 ? static_cast<Real>(a.scaling.base2Single) : static_cast<Real>(a.scaling.base2);
}

// By how much, in nats, the point that the loops of Real measure from lies above y = max.
template <typename Real>
__device__ __forceinline__ double residueAt(const RowArguments& a, double max) {
    Real base2 = base2Of<Real>(a);
    Real base = baseOf(static_cast<Real>(max), base2);
    return isFinite(base) ? fma(-max, static_cast<double>(base2), static_cast<double>(base)) * Ln2 : 0.0;
}

// The state of a row, or of a shard of it, from what its threads have seen. With y at the label, where it is among them.
template <typename Divergence, typename Real>
__device__ __forceinline__ void summarize(
    RowState& s, const RowArguments& a, const ThreadRowState<Real>& sums, bool hasLabel, double y, double referenceY) {
    double factor = a.scaling.factor;
    double vocabulary = static_cast<double>(a.wholeVocabulary);
    bool smooths = a.objective.labelSmoothing != 0;
    double residue = residueAt<Real>(a, sums.max);
    double fromMax = exp(residue); // what is measured from the point, times this, is measured from the maximum
    double max = sums.max == -infinity<Real>() ? 0.0 : static_cast<double>(sums.max);
    double sum = sums.sum * fromMax;
    double others = hasLabel ? sum - exp(farArgument(y, max, factor) * Up) : sum;
    s.max = max;
    s.sum = sum;
    s.otherSum = others < 0 ? 0.0 : others; // rounding alone; NaN passes
    s.label = hasLabel ? y : 0.0;
    s.distance = smooths ? (sums.distance * Ln2 + sums.unmasked * residue) / factor / vocabulary : 0.0;
    s.unmasked = smooths ? sums.unmasked / vocabulary : 0.0;
    s.largest = sums.best;
    s.referenceMax = s.referenceSum = s.referenceLabel = s.center = s.cross = 0;
    s.entropy = s.squares = s.tailSum = 0;
    settle();
    if constexpr (Divergence::Reads) {
        double referenceResidue = residueAt<Real>(a, sums.referenceMax);
        double referenceFromMax = exp(referenceResidue);
        double referenceMax = sums.referenceMax == -infinity<Real>() ? 0.0 : static_cast<double>(sums.referenceMax);
        s.referenceMax = referenceMax;
        s.referenceSum = sums.referenceSum * referenceFromMax;
        s.referenceLabel = hasLabel ? referenceY : 0.0;
        if constexpr (Divergence::IsSummed) {
            double mass = Divergence::weighing(sums.sum, sums.referenceSum);
            double apart = Divergence::weighing(residue, referenceResidue) - Divergence::weighing(referenceResidue, residue);
            s.cross = (sums.cross * Ln2 + mass * apart) * Divergence::weighing(fromMax, referenceFromMax) / factor;
            s.center = Divergence::HasCenter ? referenceMax : 0.0;
        }
    }
    settle();
}

// log(p/q) of the label. Of one far below both maxima the two log-probabilities would leave no digits.
__device__ __forceinline__ double logRatioOf(const RowArguments& a, const RowState& s, const Result& r, bool isMost) {
    return isMost ? r.logProbability - r.referenceLogProbability
        : differenceOfDistances(s.label * Down, s.max * Down, s.referenceLabel * Down, s.referenceMax * Down) * a.scaling.factor * Up
            + (r.referenceLogSum - r.logSum);
}

// The entropy of the policy, in nats; rounding alone makes it negative, and NaN passes.
__device__ __forceinline__ double entropyOf(const RowArguments& a, const RowState& s, double logSum) {
    double entropy = logSum - a.scaling.factor * (s.entropy / s.sum);
    return entropy < 0 ? 0.0 : entropy;
}

// The weight of the negative log-likelihood, within its bounds; NaN passes.
template <typename Divergence, typename Real>
__device__ __forceinline__ double weightOf(
    const RowArguments& a, long long row, const RowState& s, const Result& r, double complement, double logRatio) {
    const Objective& o = a.objective;
    bool byEntropy = o.weighting == TokenWeighting::Entropy;
    double weight = 1;
    if (byEntropy || o.weighting == TokenWeighting::Probability) {
        weight = byEntropy || o.weightExponent == 0 ? 1.0 : exp(o.weightExponent * r.logProbability);
        double base = byEntropy ? entropyOf(a, s, r.logSum) / o.entropyScale : complement;
        double exponent = byEntropy ? o.weightExponent : o.weightComplementExponent;
        weight *= exponent == 0 ? 1.0 : exp(exponent * log(base));
    }
    if (Divergence::Reads && o.weighting == TokenWeighting::ImportanceRatio) {
        weight = exp(logRatio);
    }
    if (a.givenWeights != nullptr) {
        weight = static_cast<const Real*>(a.givenWeights)[row];
    }
    if (weight < o.weightMin) {
        weight = o.weightBound == WeightBound::Drop ? 0.0 : o.weightMin;
    } else if (weight > o.weightMax) {
        weight = o.weightBound == WeightBound::Drop ? 0.0 : o.weightMax;
    }
    return weight;
}

// A divergence estimated from the label alone, with d = lq - lp.
__device__ __forceinline__ void estimate(Result& r, KlEstimator estimator, double d) {
    double grown = expm1(d);
    double k3 = grown - d;
    r.kl = estimator == KlEstimator::K1 ? -d : estimator == KlEstimator::K2 ? 0.5 * d * d : k3 < 0 ? 0.0 : k3;
    r.estimatorSlope = estimator == KlEstimator::K1 ? 1.0 : estimator == KlEstimator::K2 ? -d : -grown;
}

// What is known of the reference without its logits: its log-probability of the label. For one thread.
template <typename Real>
__device__ __forceinline__ void addLabelReference(const RowArguments& a, long long row, RowState& s, bool hasLabel) {
    if (a.labelLogProbabilities != nullptr && hasLabel) {
        s.referenceSum = 1;
        s.referenceLabel = static_cast<double>(static_cast<const Real*>(a.labelLogProbabilities)[row]) / a.scaling.factor;
        settle();
    }
}

// KL divergence, from the logarithms of the two sums; rounding alone makes it negative, and NaN passes.
template <typename Divergence>
__device__ __forceinline__ double divergenceOf(const RowArguments& a, const RowState& s, double logSum, double referenceLogSum) {
    double kl = Divergence::divergence(a, s, logSum, referenceLogSum);
    return kl < 0 ? 0.0 : kl;
}

// What the state of a whole row comes to.
template <typename Divergence, typename Real>
__device__ __forceinline__ void evaluate(Result& r, const RowArguments& a, long long row, const RowState& s) {
    double factor = a.scaling.factor;
    double logSum = log(s.sum);
    double distance = farArgument(s.label, s.max, factor) * Up;
    double probability = exp(distance);
    bool isMost = probability > s.otherSum; // then what the others have keeps the distance from 1
    double complement = s.otherSum / (s.otherSum + probability);
    r.exact = false;
    r.estimatorSlope = 0;
    r.logSum = logSum;
    r.logProbability = isMost ? -log1p(s.otherSum / probability) : distance - logSum;
    settle();
    double kl = 0;
    if constexpr (Divergence::Reads) {
        double referenceLogSum = log(s.referenceSum);
        double logProbability = farArgument(s.referenceLabel, s.referenceMax, factor) * Up - referenceLogSum;
        r.referenceLogSum = referenceLogSum;
        r.referenceLogProbability = logProbability > 0 ? 0.0 : logProbability; // rounding alone
        if constexpr (Divergence::IsAnchored) {
            kl = divergenceOf<Divergence>(a, s, logSum, referenceLogSum);
        }
    } else if constexpr (Divergence::IsAnchored) {
        r.referenceLogSum = r.referenceLogProbability = 0;
        kl = divergenceOf<Divergence>(a, s, logSum, 0.0);
    }
    r.kl = kl;
    settle();
    double logRatio = 0;
    if constexpr (Divergence::Reads) {
        logRatio = logRatioOf(a, s, r, isMost);
        if (a.objective.klEstimator != KlEstimator::Exact && s.referenceSum != 0) {
            estimate(r, a.objective.klEstimator, -logRatio);
        }
        settle();
    }
    r.mean = a.objective.labelSmoothing == 0 ? 0.0 : factor * s.distance - s.unmasked * r.logSum;
    r.weight = weightOf<Divergence, Real>(a, row, s, r, complement, logRatio);
    settle();
}

template <typename Real>
__device__ __forceinline__ void writeOutput(void* output, long long row, double value) {
    if (output != nullptr) {
        static_cast<Real*>(output)[row] = static_cast<Real>(value);
    }
}

template <typename Real>
__device__ __forceinline__ void writeOutputs(
    const Outputs& outputs, long long row, double loss, double logProbability, double weight, double kl, double logSumExp,
    double referenceLogSumExp, double referenceLogProbability, long long predicted) {
    writeOutput<Real>(outputs.loss, row, loss);
    writeOutput<Real>(outputs.logProbability, row, logProbability);
    writeOutput<Real>(outputs.weight, row, weight);
    writeOutput<Real>(outputs.kl, row, kl);
    writeOutput<Real>(outputs.logSumExp, row, logSumExp);
    writeOutput<Real>(outputs.referenceLogSumExp, row, referenceLogSumExp);
    writeOutput<Real>(outputs.referenceLogProbability, row, referenceLogProbability);
    if (outputs.predicted != nullptr) {
        outputs.predicted[row] = isnan(logSumExp) ? -1 : predicted;
    }
}

template <typename Real>
__device__ __forceinline__ void writeAllOutputs(const Outputs& outputs, long long row, double value) {
    writeOutputs<Real>(outputs, row, value, value, value, value, value, value, value, -1);
}

// The caller's factor of a row's loss.
template <typename Real>
__device__ __forceinline__ double tokenWeightOf(const RowArguments& a, long long row) {
    return a.weights == nullptr ? 1.0 : static_cast<double>(static_cast<const Real*>(a.weights)[row]);
}

// Whether a row counts for nothing, and is not read.
template <typename Real>
__device__ __forceinline__ bool isIgnored(const RowArguments& a, long long row, long long label) {
    return label == a.objective.ignoreIndex || tokenWeightOf<Real>(a, row) == 0;
}

// What the gradient of a row is multiplied with.
template <typename Real>
__device__ __forceinline__ double gradientScaleOf(const RowArguments& a, long long row) {
    double scale = a.gradientScale * tokenWeightOf<Real>(a, row);
    return a.upstream == nullptr ? scale : scale * static_cast<double>(static_cast<const Real*>(a.upstream)[row * a.upstreamStride]);
}

__device__ __forceinline__ double logSumExpOf(const RowArguments& a, const RowState& s, const Result& r) {
    return a.scaling.factor * s.max + r.logSum;
}

template <typename Divergence, typename Real>
__device__ __forceinline__ void findCoefficients(
    const RowArguments& a, long long row, const RowState& s, const Result& r, Coefficients<Real>& result) {
    constexpr double LargestCoefficient = 1e30; // above it float32 misses elements whose exponential is 0 there
    const Objective& o = a.objective;
    double scale = gradientScaleOf<Real>(a, row) * o.logitScale; // a softcap's slope is s*(1 - tanh^2), and s without one
    bool anchored = Divergence::IsAnchored && o.klWeight > 0;
    double logSumExp = o.zLossWeight == 0 ? 0.0 : logSumExpOf(a, s, r);
    double weight = o.nllWeight * r.weight;
    double estimated = o.klWeight > 0 ? o.klWeight * r.estimatorSlope : 0.0;
    double size = weight + fabs(estimated) + (anchored ? o.klWeight * Divergence::steepness(r.kl) : 0.0)
        + 2.0 * o.zLossWeight * fabs(logSumExp);
    double referenceMax = Divergence::pointOf(s);
    result.max = static_cast<Real>(s.max);
    result.referenceMax = static_cast<Real>(referenceMax);
    result.carefulMax = s.max;
    result.carefulReferenceMax = referenceMax;
    result.anchored = anchored;
    result.doubtful = false;

    // The coefficient of p has a share that the label takes away again: they are kept apart, so that near p = 1 they do not cancel. The
    // smoothed part of the loss is -eps/V times the sum of lp over what is not masked, so its lse carries eps*unmasked/V.
    GradientTerms terms;
    terms.label = scale * (weight * (1.0 - o.labelSmoothing) - estimated); // an estimated divergence is a weight of the label, too
    double smoothed = scale * weight * o.labelSmoothing;
    double smoothing = smoothed / static_cast<double>(a.wholeVocabulary);
    terms.rest = (smoothed == 0 ? 0.0 : smoothed * s.unmasked) + scale * (2.0 * o.zLossWeight * logSumExp);
    terms.divergence = 0;
    terms.reference = 0;
    if (anchored) {
        terms.reference = scale * (o.klWeight * Divergence::OfReference);
        terms.divergence = scale * (o.klWeight * Divergence::ofPolicy(a, s, r));
    }
    double policy = terms.label + (terms.rest + terms.divergence);
    result.careful = r.exact || !isFinite(baseOf(result.max, base2Of<Real>(a)))
        || (anchored && !isFinite(baseOf(result.referenceMax, base2Of<Real>(a))))
        || !(fabs(scale) * size + fabs(terms.divergence) < LargestCoefficient);
    result.carefulSmoothing = smoothing;
    result.smoothing = static_cast<Real>(smoothing);
    result.none = !(isFinite(s.max) && isFinite(r.logSum) && (!anchored || (isFinite(s.referenceMax) && isFinite(r.referenceLogSum)))
        && isFinite(policy) && isFinite(terms.reference) && isFinite(smoothing));

    GradientPoints points;
    points.residue = residueAt<Real>(a, s.max);
    points.fromMax = exp(points.residue);
    points.referenceResidue = residueAt<Real>(a, referenceMax);
    result.carefulPolicy = policy / s.sum;
    policy += Divergence::addReference(result, s, terms, points);
    result.policy = static_cast<Real>(policy * points.fromMax / s.sum);
    settle();

    double atLabel = Divergence::atLabel(a, s, r, terms, exp(r.logProbability));
    atLabel += terms.label * expm1(r.logProbability) - (s.label == -infinity<double>() ? 0.0 : result.carefulSmoothing);
    result.atLabel = static_cast<Real>(o.softcap > 0 ? atLabel * (1.0 - s.label * s.label) : atLabel);
    settle();
}

// Whether sums in float32 may be too little: they did not hold a term, or what is left of them is small against what a large factor makes
// of their error.
template <typename Divergence>
__device__ __forceinline__ bool isDoubtful(const RowArguments& a, const Result& r, double nll, bool wantsGradient) {
    const Objective& o = a.objective;
    bool doubtful = !isFinite(r.kl) || !isFinite(r.mean);
    if (o.weighting == TokenWeighting::ImportanceRatio || o.weighting == TokenWeighting::Entropy || a.givenWeights != nullptr) {
        // Near a softcap its slope has few digits in float32, however large the loss.
        bool capped = o.softcap > 0 && wantsGradient;
        doubtful = doubtful || !(r.weight < LargeFactor * (1.0 + (capped ? 0.0 : times(r.weight, nll))));
    }
    if (o.weighting == TokenWeighting::Probability) {
        doubtful = doubtful || r.weight * (o.weightExponent + o.weightComplementExponent) > LargeFactor;
    }
    if constexpr (Divergence::IsAnchored) {
        doubtful = doubtful || (wantsGradient && o.klWeight * Divergence::steepness(r.kl) > LargeFactor);
    }
    return doubtful && !r.exact;
}

// Whether the factors of a row may be large, as far as that is known before its sums.
template <typename Real>
__device__ __forceinline__ bool mayWeighMuch(const RowArguments& a, long long row) {
    return a.objective.mayWeighMuch != 0
        || (a.givenWeights != nullptr
            && min(static_cast<double>(static_cast<const Real*>(a.givenWeights)[row]), a.objective.weightMax) > LargeFactor);
}

// Whether sums of a part of a row in float32 may be too little, where the factors are not known before the other parts are: what the
// objective allows them to be counts, and the divergence within the part.
template <typename Divergence, typename Real>
__device__ __forceinline__ bool isDoubtfulPart(const RowArguments& a, long long row, const RowState& s) {
    double kl = divergenceOf<Divergence>(a, s, log(s.sum), log(s.referenceSum));
    return !isFinite(s.sum) || !isFinite(s.cross) || !isFinite(s.distance)
        || a.objective.klWeight * Divergence::steepness(kl) > LargeFactor || mayWeighMuch<Real>(a, row);
}

__device__ __forceinline__ double nllOf(const RowArguments& a, const Result& r) {
    double eps = a.objective.labelSmoothing;
    return -times(1.0 - eps, r.logProbability) - times(eps, r.mean);
}

template <typename Divergence, typename Real>
__device__ __forceinline__ void writeResult(const RowArguments& a, long long row, const RowState& s, const Result& r, double nll) {
    const Objective& o = a.objective;
    double logSumExp = logSumExpOf(a, s, r);
    double loss = times(o.nllWeight * r.weight, nll) + times(o.klWeight, r.kl) + times(o.zLossWeight, logSumExp * logSumExp);
    writeOutputs<Real>(a.outputs, row, tokenWeightOf<Real>(a, row) * loss, r.logProbability, r.weight, r.kl, logSumExp,
        !Divergence::Reads ? 0.0 : a.scaling.factor * s.referenceMax + r.referenceLogSum,
        s.referenceSum == 0 ? 0.0 : r.referenceLogProbability, s.predicted);
}

// Writes the outputs of a row that counts, and finds the coefficients of its gradient; or says that the row is doubtful, and writes nothing.
template <typename Divergence, typename Real>
__device__ __forceinline__ void finishRow(
    const RowArguments& a, long long row, const RowState& s, const Result& r, Coefficients<Real>& coefficients) {
    double nll = nllOf(a, r);
    bool doubtful = isDoubtful<Divergence>(a, r, nll, a.gradient.data != nullptr || a.states != nullptr);
    coefficients.doubtful = doubtful;
    settle();
    if (doubtful) {
        return;
    }
    writeResult<Divergence, Real>(a, row, s, r, nll);
    settle();
    if (a.gradient.data != nullptr) {
        findCoefficients<Divergence, Real>(a, row, s, r, coefficients);
    }
}

// The coefficients from the state that was saved of the row, and the weight, which was rounded, or replaced by the caller. What the
// reference has for a weight is in the state; its logits need not be there.
template <typename Divergence, typename Real>
__device__ __forceinline__ void restore(const RowArguments& a, long long row, Result& r, Coefficients<Real>& coefficients) {
    const RowState& s = a.states[row];
    evaluate<typename Divergence::Known, Real>(r, a, row, s);
    const Real* weights = static_cast<const Real*>(a.outputs.weight);
    if (weights != nullptr && weights[row] != static_cast<Real>(r.weight)) {
        r.weight = weights[row];
    }
    settle();
    r.exact = isDoubtful<Divergence>(a, r, -r.logProbability, true);
    findCoefficients<Divergence, Real>(a, row, s, r, coefficients);
}

// The first label out of range is reported, in the host's memory; the host finds it when it looks. Threads of the device alone compete for
// it, which atomics on such memory are good for; the host takes what is there once the state says that it is whole.
__device__ __forceinline__ void report(const RowArguments& a, long long row, long long label) {
    if (atomicCAS(&a.fault->state, 0ull, static_cast<unsigned long long>(FaultClaimed)) == 0) {
        a.fault->row = row;
        a.fault->label = label;
        a.fault->vocabulary = a.wholeVocabulary;
        __threadfence_system();
        *static_cast<volatile unsigned long long*>(&a.fault->state) = FaultReported;
    }
}

// Writes the state of a row, where that is wanted, from shared memory: a word to a thread, of which there are enough.
__device__ __forceinline__ void writeState(const RowArguments& a, long long row, const RowState& state, int thread) {
    constexpr int Words = sizeof(RowState) / sizeof(long long);
    static_assert(Words <= WarpSize, "a warp writes it");
    if (a.states != nullptr && thread < Words) {
        reinterpret_cast<long long*>(a.states + row)[thread] = reinterpret_cast<const long long*>(&state)[thread];
    }
}

// The row counts for nothing, or its label is out of range: 0 or NaN everywhere. For one thread.
template <typename Real>
__device__ __forceinline__ void writeUncounted(const RowArguments& a, long long row, long long label, bool ignored) {
    double value = ignored ? 0.0 : notANumber<double>();
    writeAllOutputs<Real>(a.outputs, row, value);
    if (a.states != nullptr) {
        RowState state = {};
        state.max = state.sum = value;
        a.states[row] = state;
    }
    if (!ignored) {
        report(a, row, label);
    }
}

__device__ __forceinline__ bool isOutOfRange(const RowArguments& a, long long label) {
    return static_cast<unsigned long long>(label) >= static_cast<unsigned long long>(a.wholeVocabulary);
}

// Where in a row its label is; -1 where another shard has it.
__device__ __forceinline__ int columnOf(const RowArguments& a, long long label) {
    long long column = label - a.firstColumn;
    return column >= 0 && column < a.vocabulary ? static_cast<int>(column) : -1;
}
