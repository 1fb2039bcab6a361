// The gradient of each row, from its coefficients: those that the loss found in the same launch, those that "finish" left for rows that
// several blocks share, or those that follow from saved outputs, for an upstream gradient known only now. A label out of range was reported
// by the loss.
//
// Reads per logit: policy and reference once. Writes: the gradient, once; in place it overwrites what its own thread has read.
#pragma once
#include "row.cuh"

constexpr int Vanishing = -30000; // an argument whose exponential is 0

// The same number, of which the compiler does not know that: what was derived from it is derived again, and takes no registers meanwhile.
__device__ __forceinline__ long long forget(long long row) {
    asm volatile("" : "+l"(row));
    return row;
}

// What all elements of a row's gradient share.
template <typename Element, int Mode, bool General>
struct GradientOf {
    typedef typename Element::Real Real;
    static constexpr bool Anchored = Mode == ForwardKl || Mode == ReverseKl;

    const Coefficients<Real>& c; // in shared memory; what the loop needs of it is copied
    Real policy;
    Real reference;
    Real smoothing;
    bool anchored;
    Real base2;
    Real base;
    Real referenceBase;
    bool softcap;

    __device__ GradientOf(const Coefficients<Real>& coefficients, const Row<Element, Mode, General>& row) : c(coefficients) {
        policy = c.policy;
        reference = c.reference;
        smoothing = c.smoothing;
        anchored = c.anchored;
        base2 = row.base2;
        base = baseOf(c.max, base2);
        referenceBase = baseOf(c.referenceMax, base2);
        softcap = General && row.a.objective.softcap > 0;
    }

    __device__ bool readsReference() const { return Anchored && (!General || anchored); }

    // One element, from the arguments of the exponentials.
    __device__ Real at(Real y, Real argument, Real referenceArgument) const {
        Real p = exponential2(argument);
        Real result = policy * p;
        if (readsReference()) {
            result = Mode == ForwardKl
                ? fusedMultiplyAdd(policy, p, reference * exponential2(referenceArgument))
                : p * fusedMultiplyAdd(reference, argument - referenceArgument, policy);
        }
        if constexpr (General) {
            result -= y == -infinity<Real>() ? Real(0) : smoothing;
            result *= softcap ? fusedMultiplyAdd(-y, y, Real(1)) : Real(1);
        }
        return result;
    }

    __device__ Real fast(Real y, Real referenceY) const {
        return at(y, fusedMultiplyAdd(y, base2, -base), fusedMultiplyAdd(referenceY, base2, -referenceBase));
    }

    // With every guard. What has no probability has no share in a reverse divergence.
    __device__ Real careful(Real y, Real referenceY) const {
        Real argument = carefulArgument(y, c.max, base2);
        Real referenceArgument = carefulArgument(referenceY, c.referenceMax, base2);
        if (Mode == ReverseKl && exponential2(argument) == 0) {
            argument = referenceArgument = Vanishing;
        }
        return at(y, argument, referenceArgument);
    }
};

// Writes one element.
template <typename Element, int Mode, bool General>
__device__ __forceinline__ void writeElement(
    const Row<Element, Mode, General>& row, const GradientOf<Element, Mode, General>& gradient, int label, int index) {
    typedef typename Element::Real Real;
    Real y = row.policyAt(index);
    Real referenceY = gradient.readsReference() ? row.referenceAt(index) : Real(0);
    Real value = gradient.careful(y, referenceY);
    store<Element>(row.gradient, index, index == label ? gradient.c.atLabel : value);
}

// The gradient of this block's part of a row, from its end, which was read last.
template <typename Element, int Mode, bool General>
__device__ __forceinline__ void writeGradient(
    const Row<Element, Mode, General>& row, const Walk<Element, Row<Element, Mode, General>::N>& walk, int part, int label,
    const Coefficients<typename Element::Real>& c) {
    typedef typename Element::Real Real;
    constexpr int N = Row<Element, Mode, General>::N;
    constexpr int Words = Row<Element, Mode, General>::Words;
    if (c.none) {
        fillRow<Element>(row.gradient, notANumber<Real>(), row.a.vocabulary, part, row.a.parts, row.a.tilesPerPart);
        return;
    }
    GradientOf<Element, Mode, General> gradient(c, row);

#pragma unroll 1
    for (int edge = threadIdx.x; edge < walk.edges(); edge += threads()) {
        writeElement(row, gradient, label, walk.edgeAt(edge));
    }

    const unsigned char* policyLane = row.policy + walk.laneBytes();
    const unsigned char* referenceLane = row.reference + walk.laneBytes();
    unsigned char* gradientLane = row.gradient + walk.laneBytes();
#pragma unroll 1
    for (int start = walk.back(); start >= walk.first; start -= walk.step()) {
        unsigned p[Words];
        unsigned q[Words];
        Real values[N];
        walk.load(policyLane, start, p);
        if (gradient.readsReference()) {
            walk.load(referenceLane, start, q);
        }
        if constexpr (General) {
            Real y[N];
            Real referenceY[N] = {};
            row.transform(p, y);
            if (gradient.readsReference()) {
                row.transform(q, referenceY);
            }
#pragma unroll
            for (int i = 0; i < N; i++) {
                values[i] = gradient.fast(y[i], referenceY[i]);
            }
        } else {
#pragma unroll
            for (int i = 0; i < N; i++) {
                values[i] = gradient.fast(Element::at(p, i), gradient.readsReference() ? Element::at(q, i) : Real(0));
            }
        }
        Real total = 0;
        if constexpr (Mode == ReverseKl) {
#pragma unroll
            for (int i = 0; i < N; i++) {
                total += values[i];
            }
        }

        // A masked logit leaves no finite reverse gradient.
        if (c.careful || (Mode == ReverseKl && !isFinite(total))) {
#pragma unroll 1
            for (int i = 0; i < N; i++) {
                writeElement(row, gradient, label, walk.elementAt(start, i));
            }
            continue;
        }
        unsigned words[Words];
        packAll<Element, N>(values, words);
        unsigned inTile = static_cast<unsigned>(label - start);
        if (inTile < Walk<Element, N>::Tile) {
            replace<Element, N>(words, walk.slotOf(static_cast<int>(inTile)), c.atLabel);
        }
        walk.store(gradientLane, start, words);
    }
}

// How many of a row's logits are not -inf, which label smoothing asks of a row whose sums are not at hand. For the first thread.
template <typename Element>
__device__ __forceinline__ int countUnmasked(const unsigned char* row, int vocabulary) {
    typedef typename Element::Real Real;
    __shared__ int counts[MostWarps];
    int count = 0;
#pragma unroll 1
    for (int i = threadIdx.x; i < vocabulary; i += threads()) {
        count += load<Element>(row, i) == -infinity<Real>() ? 0 : 1;
    }
    count = __reduce_add_sync(FullWarp, count);
    if (threadIdx.x % WarpSize == 0) {
        counts[threadIdx.x / WarpSize] = count;
    }
    __syncthreads();
    count = 0;
    for (int i = 0; threadIdx.x == 0 && i < warps(); i++) {
        count += counts[i];
    }
    return count;
}

template <typename Element, int Mode, bool General>
__device__ __forceinline__ void gradientKernel(const RowArguments& a) {
    typedef typename Element::Real Real;
    constexpr bool Anchored = Mode == ForwardKl || Mode == ReverseKl;
    if (a.unlessOne != nullptr && *static_cast<const Real*>(a.unlessOne) == Real(1)) {
        return;
    }
    int part = partOf(a);
    long long index = rowIndexOf(a);
    if (index >= a.rows) {
        return;
    }
    long long label = a.labels[index];
    bool ignored = label == a.objective.ignoreIndex;
    if (ignored || isOutOfRange(a, label)) {
        fillRow<Element>(
            rowOf(a.gradient, index, Element::Bytes), ignored ? Real(0) : notANumber<Real>(), a.vocabulary, part, a.parts, a.tilesPerPart);
        return;
    }

    __shared__ Coefficients<Real> coefficients;
    if (a.coefficients != nullptr) {
        if (threadIdx.x == 0) {
            coefficients = static_cast<const Coefficients<Real>*>(a.coefficients)[index];
        }
    } else {
        Row<Element, Mode, General> row(a, index, Anchored);
        int unmasked = General && a.objective.labelSmoothing != 0 && a.objective.softcap == 0
            ? countUnmasked<Element>(row.policy, a.vocabulary) : a.vocabulary;
        // In place another block may have overwritten the label's logit by now; only the block that will is to read it.
        if (threadIdx.x == 0) {
            int own = row.walk(part).owns(static_cast<int>(label)) ? static_cast<int>(label) : -1;
            Real y = own < 0 ? Real(0) : row.policyAt(own);
            Real referenceY = own < 0 || !Anchored ? Real(0) : row.referenceAt(own);
            coefficients = restoreRow<Mode>(a, index, y, referenceY, static_cast<double>(unmasked), row.base2);
        }
    }
    __syncthreads();
    Row<Element, Mode, General> row(a, forget(index), Anchored);
    writeGradient<Element, Mode, General>(row, row.walk(part), part, static_cast<int>(label), coefficients);
}

// Multiplies a finished gradient by a scalar; where that is 1, nothing is read or written. Ignored rows stay 0, be it infinite.
template <typename Element>
__device__ __forceinline__ void rescaleKernel(const RowArguments& a) {
    typedef typename Element::Real Real;
    constexpr int N = chunkOf<Element, false>();
    Real factor = *static_cast<const Real*>(a.upstream);
    if (factor == Real(1)) {
        return;
    }
    long long index = rowIndexOf(a);
    if (index >= a.rows || a.labels[index] == a.objective.ignoreIndex) {
        return;
    }
    unsigned char* row = rowOf(a.gradient, index, Element::Bytes);
    Walk<Element, N> walk(row, row, row, true, a.vocabulary, 0, 1, 0);
    unsigned char* lane = row + walk.laneBytes();
#pragma unroll 1
    for (int start = walk.front(); start < walk.last; start += walk.step()) {
        unsigned words[Walk<Element, N>::Words];
        Real values[N];
        walk.load(lane, start, words);
#pragma unroll
        for (int i = 0; i < N; i++) {
            values[i] = Element::at(words, i) * factor;
        }
        packAll<Element, N>(values, words);
        walk.store(lane, start, words);
    }
#pragma unroll 1
    for (int edge = threadIdx.x; edge < walk.edges(); edge += threads()) {
        int at = walk.edgeAt(edge);
        store<Element>(row, at, load<Element>(row, at) * factor);
    }
}
