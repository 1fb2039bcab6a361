// The states of rows on their own: merged, where each row is a shard of the vocabulary, and finished. One thread to a row, all in float64.
// The arithmetic of merging is that of RowState in src/Asft.Kernels.
#include "topk.cuh"

__device__ __forceinline__ long long rowOfThread() {
    return (blockIdx.y * static_cast<long long>(gridDim.x) + blockIdx.x) * StateThreads + threadIdx.x;
}

// How the state of a part changes when it is measured from the points of the merged state.
struct Shift {
    double rise; // of the maximum
    double referenceRise;
    double centerRise;
    double scale;
    double referenceScale;

    // A sum of 0 stays 0, wherever it was measured from.
    __device__ Shift(const RowState& s, double max, double referenceMax, double center, double factor) {
        rise = max - s.max;
        referenceRise = referenceMax - s.referenceMax;
        centerRise = center - s.center;
        scale = s.sum == 0 ? 0.0 : rise == 0 ? 1.0 : exp(-factor * rise);
        referenceScale = s.referenceSum == 0 ? 0.0 : referenceRise == 0 ? 1.0 : exp(-factor * referenceRise);
    }

    // What has lost its weight is gone, even an infinite term.
    template <typename Divergence>
    __device__ double cross(const RowState& s) const {
        double crossScale = Divergence::weighing(scale, referenceScale);
        double measuredRise = Divergence::HasCenter ? centerRise : referenceRise;
        double weight = Divergence::weighing(s.sum - s.tailSum, s.referenceSum); // the cross term of a top-k reference is over its entries
        double moved = weight == 0 ? 0.0 : weight * (Divergence::weighing(measuredRise, rise) - Divergence::weighing(rise, measuredRise));
        return crossScale == 0 ? 0.0 : (s.cross + moved) * crossScale;
    }

    __device__ double entropy(const RowState& s) const { return scale == 0 ? 0.0 : (s.entropy - s.sum * rise) * scale; }

    __device__ double distance(const RowState& s) const { return s.unmasked == 0 ? 0.0 : s.distance - s.unmasked * rise; }
};

__device__ __forceinline__ double mergedMax(double a, double sumA, double b, double sumB) {
    return sumA == 0 ? b : sumB == 0 || a > b ? a : b;
}

template <typename Divergence>
__device__ __forceinline__ void mergeKernel(const RowArguments& a) {
    long long row = rowOfThread();
    if (row >= a.rows) {
        return;
    }
    RowState& s = a.states[row];
    const RowState& t = a.others[row];
    double max = mergedMax(s.max, s.sum, t.max, t.sum);
    double referenceMax = mergedMax(s.referenceMax, s.referenceSum, t.referenceMax, t.referenceSum);
    double center = s.sum == 0 || (t.sum != 0 && t.max > s.max) ? t.center : s.center;
    Shift left(s, max, referenceMax, center, a.scaling.factor);
    Shift right(t, max, referenceMax, center, a.scaling.factor);
    bool larger = t.sum != 0
        && (s.sum == 0 || t.largest > s.largest || (t.largest == s.largest && t.predicted < s.predicted)); // the first of equals
    settle();
    if constexpr (Divergence::IsSummed) {
        s.cross = left.cross<Divergence>(s) + right.cross<Divergence>(t);
        settle();
    }
    s.entropy = left.entropy(s) + right.entropy(t);
    s.squares = s.squares * left.scale * left.scale + t.squares * right.scale * right.scale;
    s.tailSum = s.tailSum * left.scale + t.tailSum * right.scale;
    settle();
    s.distance = left.distance(s) + right.distance(t);
    s.unmasked += t.unmasked;
    s.sum = s.sum * left.scale + t.sum * right.scale;
    s.otherSum = s.otherSum * left.scale + t.otherSum * right.scale;
    s.referenceSum = s.referenceSum * left.referenceScale + t.referenceSum * right.referenceScale;
    s.label += t.label;
    s.referenceLabel += t.referenceLabel;
    s.largest = larger ? t.largest : s.largest;
    s.predicted = larger ? t.predicted : s.predicted;
    s.max = max;
    s.referenceMax = referenceMax;
    s.center = center;
}

template <typename Divergence, typename Real>
__device__ __forceinline__ void finishState(const RowArguments& a, long long row, Result& result) {
    long long label = a.labels[row];
    bool ignored = isIgnored<Real>(a, row, label);
    if (ignored || isOutOfRange(a, label)) {
        double value = ignored ? 0.0 : notANumber<double>();
        writeUncounted<Real>(a, row, label, ignored);
        writeOutput<Real>(a.outputs.entropy, row, value);
        writeOutput<Real>(a.outputs.squaredProbabilitySum, row, value);
        return;
    }
    const RowState& s = a.states[row];
    if (a.outputs.entropy != nullptr) {
        writeOutput<Real>(a.outputs.entropy, row, entropyOf(a, s, log(s.sum)));
        settle();
    }
    if (a.outputs.squaredProbabilitySum != nullptr) {
        writeOutput<Real>(a.outputs.squaredProbabilitySum, row, s.squares / (s.sum * s.sum));
        settle();
    }
    evaluate<typename Divergence::Known, Real>(result, a, row, s);
    writeResult<Divergence, Real>(a, row, s, result, nllOf(a, result));
}

template <typename Divergence>
__device__ __forceinline__ void finishKernel(const RowArguments& a) {
    long long row = rowOfThread();
    if (row >= a.rows) {
        return;
    }
    __shared__ Result results[StateThreads];
    if (a.logits.type == ElementType::Float64) {
        finishState<Divergence, double>(a, row, results[threadIdx.x]);
    } else {
        finishState<Divergence, float>(a, row, results[threadIdx.x]);
    }
}

#define STATE_KERNEL(name, kernel) \
    extern "C" __global__ void __launch_bounds__(StateThreads) name(const __grid_constant__ RowArguments a) { kernel(a); }

STATE_KERNEL(merge_None, mergeKernel<NoReference>)
STATE_KERNEL(merge_ForwardKl, mergeKernel<ForwardKl>)
STATE_KERNEL(merge_ReverseKl, mergeKernel<ReverseKl>)
STATE_KERNEL(finish_None, finishKernel<NoReference>)
STATE_KERNEL(finish_Sum, finishKernel<ReferenceSum>)
STATE_KERNEL(finish_ForwardKl, finishKernel<ForwardKl>)
STATE_KERNEL(finish_ReverseKl, finishKernel<ReverseKl>)
STATE_KERNEL(finish_TopK, finishKernel<TopK>)
