// A row once more in float64, for the few whose sums float32 cannot hold, or of which it would leave too few digits: a finite mask far
// below what it masks, where the other model has mass; a weight so large that the rounding of a probability near 1 counts. Logits are
// subtracted before they are scaled, so that no finite size is too large. Reads the row once for each sum: what counts here is that it
// takes no registers from the loops that all other rows go through.
#pragma once
#include "row.cuh"

// The same number in every thread that works on the row, a block or a warp: the sum of all values, or the largest.
template <bool Block, bool Sum>
__device__ __forceinline__ double ofAll(double value) {
    value = Sum ? warpSum(value) : warpMax(value);
    if constexpr (Block) {
        __shared__ double values[MostWarps];
        if (threadIdx.x % WarpSize == 0) {
            values[threadIdx.x / WarpSize] = value;
        }
        __syncthreads();
        value = values[0];
#pragma unroll 1
        for (int i = 1; i < warps(); i++) {
            value = Sum ? value + values[i] : max(value, values[i]);
        }
        __syncthreads();
    }
    return value;
}

// The sum over a row, or its largest value; valueAt gives the values by their index.
template <bool Block, bool Sum, typename Value>
__device__ __forceinline__ double overRow(int vocabulary, Value valueAt) {
    double result = Sum ? 0.0 : -infinity<double>();
#pragma unroll 1
    for (int i = Block ? threadIdx.x : threadIdx.x % WarpSize; i < vocabulary; i += Block ? threads() : WarpSize) {
        double value = valueAt(i);
        result = Sum ? result + value : max(result, value);
    }
    return ofAll<Block, Sum>(result);
}

// The state of a row, or of a shard of it, but for its largest logit. For all threads of a block, or of a warp, of which the first writes.
// The label is -1 where another shard has it.
template <bool Block, typename Element, typename Divergence, bool General>
__device__ __forceinline__ void summarizeExactly(RowState& s, const Row<Element, Divergence, General>& row, int label) {
    const RowArguments& a = row.a;
    bool writes = (Block ? threadIdx.x : threadIdx.x % WarpSize) == 0;
    double factor = a.scaling.factor;
    double max = overRow<Block, false>(a.vocabulary, [&](int i) { return row.exactPolicyAt(i); });
    max = max == -infinity<double>() ? 0.0 : max;
    auto argument = [&](int i) { return farArgument(row.exactPolicyAt(i), max, factor); };
    double others = overRow<Block, true>(a.vocabulary, [&](int i) { return i == label ? 0.0 : exp(argument(i) * Up); });
    if (writes) {
        s.max = max;
        s.otherSum = others;
        s.sum = label < 0 ? others : others + exp(argument(label) * Up);
        s.label = label < 0 ? 0.0 : row.exactPolicyAt(label);
    }
    if constexpr (Divergence::Reads) {
        double referenceMax = overRow<Block, false>(a.vocabulary, [&](int i) { return row.exactReferenceAt(i); });
        referenceMax = referenceMax == -infinity<double>() ? 0.0 : referenceMax;
        auto referenceArgument = [&](int i) { return farArgument(row.exactReferenceAt(i), referenceMax, factor); };
        double referenceSum = overRow<Block, true>(a.vocabulary, [&](int i) { return exp(referenceArgument(i) * Up); });
        if (writes) {
            s.referenceMax = referenceMax;
            s.referenceSum = referenceSum;
            s.referenceLabel = label < 0 ? 0.0 : row.exactReferenceAt(label);
        }
        if constexpr (Divergence::IsSummed) {
            // Reverse: differences are measured from where the policy has its mass, and those that weigh most are small then.
            double center = referenceMax;
            if constexpr (Divergence::HasCenter) {
                center = overRow<Block, false>(
                    a.vocabulary, [&](int i) { return row.exactPolicyAt(i) == max ? row.exactReferenceAt(i) : -infinity<double>(); });
                center = isFinite(center) ? center : referenceMax;
            }
            // What has no mass takes no part: a logit that both models mask contributes nothing.
            double cross = overRow<Block, true>(a.vocabulary, [&](int i) {
                double policy = argument(i);
                double reference = farArgument(row.exactReferenceAt(i), center, factor);
                double own = Divergence::weighing(policy, reference);
                double mass = exp(own * Up);
                return mass == 0 ? 0.0 : mass * (own - Divergence::weighing(reference, policy));
            });
            if (writes) {
                s.center = Divergence::HasCenter ? center : 0.0;
                s.cross = cross / factor * Up;
            }
        }
    }
    if (General && a.objective.labelSmoothing != 0) {
        double unmasked = overRow<Block, true>(a.vocabulary, [&](int i) { return row.exactPolicyAt(i) == -infinity<double>() ? 0.0 : 1.0; });
        double distance = overRow<Block, true>(
            a.vocabulary, [&](int i) { return row.exactPolicyAt(i) == -infinity<double>() ? 0.0 : argument(i); });
        if (writes) {
            double vocabulary = static_cast<double>(a.wholeVocabulary);
            s.unmasked = unmasked / vocabulary;
            s.distance = distance / factor / vocabulary * Up;
        }
    }
    settle();
}
