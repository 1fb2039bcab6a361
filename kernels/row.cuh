// What a block knows of its row: where its logits are, and how they become arguments of exponentials.
#pragma once
#include "epilogue.cuh"
#include "softcap.cuh"
#include "walk.cuh"

// Where a row is, in shared memory: derived by one thread for all of its block, which come back to it.
template <typename Element, int N>
struct Place {
    unsigned char* policy;
    const unsigned char* reference;
    unsigned char* gradient;
    Walk<Element, N> walk;
    long long label;
    bool counts; // neither ignored nor with a label out of range
    bool ignored;
    bool sameType;
    bool allNear; // under a softcap, once it is summed: every chunk of this block's part is near zero, for softcap.cuh
};

template <typename Element, typename Divergence, bool General>
struct Row {
    typedef typename Element::Real Real;
    static constexpr int N = chunkOf<Element, General>();

    const RowArguments& a;
    unsigned char* policy;
    const unsigned char* reference;
    unsigned char* gradient;
    Real base2;
    Real slack;
    Real nearest;
    bool sameType;
    const Place<Element, N>* place; // of a block that summed the row before

    __device__ Row(const RowArguments& arguments, long long row, bool readsReference) : a(arguments), place(nullptr) {
        policy = rowOf(a.logits, row, Element::Bytes);
        gradient = a.gradient.data == nullptr ? policy : rowOf(a.gradient, row, Element::Bytes);
        sameType = true;
        reference = policy;
        if (readsReference) {
            sameType = a.reference.type == Element::Type;
            int bytes = sameType ? Element::Bytes : a.reference.type == ElementType::Float64 ? 8 : a.reference.type == ElementType::Float32 ? 4 : 2;
            reference = rowOf(a.reference, row, bytes);
        }
        scale();
    }

    __device__ Row(const RowArguments& arguments, const Place<Element, N>& there)
        : a(arguments), policy(there.policy), reference(there.reference), gradient(there.gradient), sameType(there.sameType), place(&there) {
        scale();
    }

    __device__ void scale() {
        if constexpr (sizeof(Real) == 4) {
            base2 = a.scaling.base2Single;
            slack = a.scaling.slackSingle;
            nearest = a.scaling.nearestLogit;
        } else {
            base2 = a.scaling.base2;
            slack = a.scaling.slack;
        }
    }

    __device__ Walk<Element, N> walk(int part) const {
        return Walk<Element, N>(policy, reference, gradient, sameType, a.vocabulary, part, a.parts, a.tilesPerPart);
    }

    __device__ bool isCapped() const { return Element::IsCapped || (General && a.objective.softcap > 0); }

    // y of a logit.
    __device__ Real transform(Real x) const { return isCapped() ? capped(a.scaling, x) : x; }

    __device__ Real policyAt(int index) const { return transform(::load<Element>(policy, index)); }

    __device__ Real referenceAt(int index) const {
        return transform(sameType ? ::load<Element>(reference, index) : loadAny<Real>(reference, a.reference.type, index));
    }

    // The same in float64.
    __device__ double exactTransform(double x) const { return isCapped() ? capped(a.scaling, x) : x; }

    __device__ double exactPolicyAt(int index) const { return exactTransform(::load<Element>(policy, index)); }

    __device__ double exactReferenceAt(int index) const {
        return exactTransform(sameType ? ::load<Element>(reference, index) : loadAny<double>(reference, a.reference.type, index));
    }

    // Whether all logits of two chunks are near zero, for softcap.cuh, as far as their extremes say, which NaN are none of.
    __device__ bool isNear(Real largest, Real smallest) const { return Element::IsCapped && (largest <= nearest) & (smallest >= -nearest); }

    // The same of all chunks of this block's part, for a block that has summed it. Read whenever it is asked for: registers are scarce.
    __device__ bool isAllNear() const { return Element::IsCapped && *static_cast<const volatile bool*>(&place->allNear); }

    // Hands what makes y of the logits of a chunk to "work".
    template <typename Work>
    __device__ void withTransform(bool isNear, Work work) const {
        if constexpr (Element::IsCapped) {
            if (isNear) {
                work([&](Real x) { return nearCurve(a.scaling.softcap, x); });
                return;
            }
        }
        if (isCapped()) {
            work([&](Real x) { return capped(a.scaling, x); });
        } else {
            work([](Real x) { return x; });
        }
    }
};

// Which part of a row this block works on, and which row. The parts of a row are the blocks along y; of rows that are not shared, y carries
// on where x, which has a limit, ends.
__device__ __forceinline__ int partOf(const RowArguments& a) { return a.parts > 1 ? blockIdx.y : 0; }

__device__ __forceinline__ long long rowIndexOf(const RowArguments& a) {
    return a.parts > 1 ? blockIdx.x : blockIdx.y * static_cast<long long>(gridDim.x) + blockIdx.x;
}

// How many rows a grid works on at a time. Kernels that may find nothing to do come in small grids, whose blocks go on to further rows.
__device__ __forceinline__ long long rowsOfGrid(const RowArguments& a) {
    return a.parts > 1 ? gridDim.x : gridDim.y * static_cast<long long>(gridDim.x);
}

// Whether the gradient is there already.
template <typename Real>
__device__ __forceinline__ bool isFinished(const RowArguments& a) {
    return a.unlessOne != nullptr && *static_cast<const Real*>(a.unlessOne) == Real(1);
}

// Does the work for each row of a block, one after the other. Which one it is lies in shared memory: registers are scarce.
template <typename Work>
__device__ __forceinline__ void forEachRow(const RowArguments& a, Work work) {
    __shared__ long long row;
    if (threadIdx.x == 0) {
        row = rowIndexOf(a);
    }
    __syncthreads();
#pragma unroll 1
    while (row < a.rows) {
        work(row);
        __syncthreads(); // nobody is at work on this row any more, nor reads what shared memory has of it
        if (threadIdx.x == 0) {
            row += rowsOfGrid(a);
        }
        __syncthreads();
    }
}
