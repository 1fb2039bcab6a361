// From the sums of a row to its outputs and to the coefficients of its gradient: once per row, by one thread, in float64, so that
// nothing is lost here. The formulas are those of src/Asft.Kernels/Cpu/TokenMath.cs.
#pragma once
#include "sums.cuh"

// The gradient of a row is, with p = 2^(base2*y - base(max)) and q likewise of the reference,
//   policy*p + reference*q - smoothing                                    (forward)
//   p*(policy + reference*(argument of p - argument of q)) - smoothing    (reverse)
// times 1 - y^2 under a softcap. The sums are in the coefficients already.
template <typename Real>
struct Coefficients {
    Real policy;
    Real reference;
    Real smoothing;
    Real atLabel; // the gradient at the label itself, where 1 is taken away before anything is rounded
    Real max;
    Real referenceMax;
    int none; // the row has no gradient: every element is NaN
    int careful; // base 2 cannot hold a point: every argument needs care
    int anchored; // the reference takes part
    int unused;
};

// A distribution in float64: measured from y = max, with sum = sum of e^(z - point).
struct Distribution {
    double sum;
    double logSum;
    double residue; // point = factor*max + residue: base(max) was rounded, and this is by how much, in nats
    double max;

    __device__ double logSumExp(double factor) const { return (sum == 0 ? 0.0 : factor * max + residue) + logSum; }

    __device__ double logProbability(double factor, double y) const {
        double result = sum == 0 ? notANumber<double>() : factor * (y - max) - residue - logSum;
        return result > 0 ? 0.0 : result; // rounding alone; NaN passes
    }
};

template <typename Real>
__device__ __forceinline__ double residueOf(Real max, Real base2) {
    Real base = baseOf(max, base2);
    return isFinite(base) ? (static_cast<double>(base) - static_cast<double>(max) * static_cast<double>(base2)) * Ln2 : 0.0;
}

template <typename Real>
__device__ __forceinline__ Distribution distributionOf(Real max, Real sum, Real base2) {
    Distribution result;
    result.sum = sum;
    result.logSum = log(result.sum);
    result.max = max;
    result.residue = residueOf(max, base2);
    return result;
}

// The same from a log-sum-exp that was rounded to Real: the point nearest to it, and what is left over as the sum.
template <typename Real>
__device__ __forceinline__ Distribution distributionAround(double logSumExp, double factor, Real base2) {
    Distribution result;
    Real max = static_cast<Real>(logSumExp / factor);
    result.max = max;
    result.residue = residueOf(max, base2);
    result.logSum = logSumExp - factor * result.max - result.residue;
    result.sum = exp(result.logSum);
    return result;
}

__device__ __forceinline__ double times(double factor, double value) { return factor == 0 ? 0.0 : factor * value; }

__device__ __forceinline__ double weightOf(const Objective& objective, double logProbability, double referenceLogProbability) {
    if (objective.weighting == Weighting::ProbabilityWeighting) {
        return objective.weightExponent == 0 ? 1.0 : exp(objective.weightExponent * logProbability);
    }
    if (objective.weighting == Weighting::RatioWeighting) {
        double ratio = exp(logProbability - referenceLogProbability);
        return ratio < objective.weightMin ? objective.weightMin : ratio > objective.weightMax ? objective.weightMax : ratio;
    }
    return 1.0;
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
    double referenceLogSumExp, long long predicted) {
    writeOutput<Real>(outputs.loss, row, loss);
    writeOutput<Real>(outputs.logProbability, row, logProbability);
    writeOutput<Real>(outputs.weight, row, weight);
    writeOutput<Real>(outputs.kl, row, kl);
    writeOutput<Real>(outputs.logSumExp, row, logSumExp);
    writeOutput<Real>(outputs.referenceLogSumExp, row, referenceLogSumExp);
    if (outputs.predicted != nullptr) {
        outputs.predicted[row] = isnan(logSumExp) ? -1 : predicted;
    }
}

template <typename Real>
__device__ __forceinline__ void writeAllOutputs(const Outputs& outputs, long long row, double value) {
    writeOutputs<Real>(outputs, row, value, value, value, value, value, value, -1);
}

// What the gradient of a row is multiplied with.
template <typename Real>
__device__ __forceinline__ double gradientScaleOf(const RowArguments& a, long long row) {
    return a.upstream == nullptr
        ? a.gradientScale
        : a.gradientScale * static_cast<double>(static_cast<const Real*>(a.upstream)[row * a.upstreamStride]);
}

template <int Mode, typename Real>
__device__ __forceinline__ Coefficients<Real> coefficientsOf(
    const RowArguments& a, long long row, const Distribution& p, const Distribution& q, double weight, double kl, double logSumExp,
    double referenceLogSumExp, double y, double referenceY, double unmasked, Real base2) {
    const Objective& o = a.objective;
    double factor = a.scaling.factor;
    double scale = gradientScaleOf<Real>(a, row) * o.logitScale; // a softcap's slope is s*(1 - tanh^2), and s without one
    double eps = o.labelSmoothing;
    double vocabulary = static_cast<double>(a.vocabulary);
    bool anchored = (Mode == ForwardKl || Mode == ReverseKl) && o.klWeight > 0;

    // The smoothed part of the loss is -eps/V times the sum of lp over what is not masked, so its lse carries eps*unmasked/V.
    double policy = weight * (eps == 0 ? 1.0 : 1.0 - eps + eps * unmasked / vocabulary);
    if (o.zLossWeight != 0) {
        policy += 2.0 * o.zLossWeight * logSumExp;
    }
    double reference = 0;
    if (anchored) {
        // Reverse: lp - lq - kl, measured from the points of the two rows, where a constant between them is gone already.
        policy += o.klWeight * (Mode == ForwardKl ? 1.0 : q.logSum - p.logSum - kl);
        reference = Mode == ForwardKl ? -o.klWeight : o.klWeight;
    }
    policy *= scale;
    reference *= scale;
    double smoothing = scale * weight * eps / vocabulary;
    double label = scale * weight * (1.0 - eps);

    double logProbability = p.logProbability(factor, y);
    double atLabel = exp(logProbability);
    if (Mode == ReverseKl && anchored) {
        double distance = factor * (y - p.max) - p.residue - (factor * (referenceY - q.max) - q.residue);
        atLabel = atLabel == 0 ? 0.0 : atLabel * (policy + reference * distance);
    } else {
        atLabel = atLabel * policy + (anchored ? reference * exp(q.logProbability(factor, referenceY)) : 0.0);
    }
    atLabel -= label + (y == -infinity<double>() ? 0.0 : smoothing);
    if (o.softcap > 0) {
        atLabel *= 1.0 - y * y;
    }

    Coefficients<Real> result;
    result.policy = static_cast<Real>(policy / p.sum);
    result.reference = static_cast<Real>(Mode == ReverseKl ? reference * Ln2 / p.sum : anchored ? reference / q.sum : 0.0);
    result.smoothing = static_cast<Real>(smoothing);
    result.atLabel = static_cast<Real>(atLabel);
    result.max = static_cast<Real>(p.max);
    result.referenceMax = static_cast<Real>(q.max);
    result.none = !(isFinite(logSumExp) && (!anchored || isFinite(referenceLogSumExp))
        && isFinite(policy) && isFinite(reference) && isFinite(smoothing) && isFinite(label));
    result.careful = !isFinite(baseOf(result.max, base2)) || (anchored && !isFinite(baseOf(result.referenceMax, base2)));
    result.anchored = anchored;
    result.unused = 0;
    return result;
}

// Writes the outputs of a row that counts, and gives the coefficients of its gradient where one is wanted.
template <int Mode, typename Real>
__device__ __forceinline__ Coefficients<Real> finishRow(
    const RowArguments& a, long long row, const RowSums<Real>& sums, double y, double referenceY, long long predicted, Real base2) {
    const Objective& o = a.objective;
    double factor = a.scaling.factor;
    Distribution p = distributionOf(sums.max, sums.sum, base2);
    Distribution q = p;
    double logSumExp = p.logSumExp(factor);
    double logProbability = p.logProbability(factor, y);
    double referenceLogSumExp = 0;
    double referenceLogProbability = 0;
    double kl = 0;
    if constexpr (Mode != NoReference) {
        q = distributionOf(sums.referenceMax, sums.referenceSum, base2);
        referenceLogSumExp = q.logSumExp(factor);
        referenceLogProbability = q.logProbability(factor, referenceY);
    }
    if constexpr (Mode == ForwardKl || Mode == ReverseKl) {
        double cross = static_cast<double>(sums.cross) * Ln2;
        kl = Mode == ForwardKl ? cross / q.sum + (p.logSum - q.logSum) : cross / p.sum + (q.logSum - p.logSum);
        kl = kl < 0 ? 0.0 : kl; // rounding alone; NaN passes
    }
    double weight = weightOf(o, logProbability, referenceLogProbability);
    double eps = o.labelSmoothing;
    double unmasked = sums.unmasked;
    double mean = eps == 0 ? 0.0
        : (static_cast<double>(sums.distance) * Ln2 - unmasked * p.logSum) / static_cast<double>(a.vocabulary);
    double nll = -times(1.0 - eps, logProbability) - times(eps, mean);
    double loss = times(weight, nll) + times(o.klWeight, kl) + times(o.zLossWeight, logSumExp * logSumExp);
    writeOutputs<Real>(a.outputs, row, loss, logProbability, weight, kl, logSumExp, referenceLogSumExp, predicted);
    if (a.gradient.data == nullptr) {
        return Coefficients<Real>();
    }
    return coefficientsOf<Mode, Real>(
        a, row, p, q, weight, kl, logSumExp, referenceLogSumExp, y, referenceY, unmasked, base2);
}

// The same coefficients from what was saved of the row.
template <int Mode, typename Real>
__device__ __forceinline__ Coefficients<Real> restoreRow(
    const RowArguments& a, long long row, double y, double referenceY, double unmasked, Real base2) {
    double factor = a.scaling.factor;
    double logSumExp = static_cast<const Real*>(a.outputs.logSumExp)[row];
    double weight = static_cast<const Real*>(a.outputs.weight)[row];
    double referenceLogSumExp = 0;
    double kl = 0;
    Distribution p = distributionAround(logSumExp, factor, base2);
    Distribution q = p;
    if constexpr (Mode == ForwardKl || Mode == ReverseKl) {
        referenceLogSumExp = static_cast<const Real*>(a.outputs.referenceLogSumExp)[row];
        kl = static_cast<const Real*>(a.outputs.kl)[row];
        q = distributionAround(referenceLogSumExp, factor, base2);
    }
    return coefficientsOf<Mode, Real>(
        a, row, p, q, weight, kl, logSumExp, referenceLogSumExp, y, referenceY, unmasked, base2);
}

// The first label out of range is reported; the host finds it when it looks.
__device__ __forceinline__ void report(const RowArguments& a, long long row, long long label) {
    if (atomicCAS(&a.fault->state, 0ull, 1ull) == 0) {
        a.fault->row = row;
        a.fault->label = label;
        a.fault->vocabulary = a.vocabulary;
    }
}
