// What the loss of most objectives does not need, so that its kernels stay short: "complete" adds to the state of each row, which
// "summarize" has written, the terms of the policy's entropy and, of a top-k reference, everything; "gradient_TopK" is the gradient of such a
// divergence. One block to a row, one column to a thread.
//
// Columns that are entries are marked in shared memory, a window of the row at a time: so the tail is summed without them, and keeps its
// digits however little it is, and the gradient leaves their logits alone until they have been read, in place, too.
//
// Reads per logit: the policy once, and those of entries twice. Writes: the gradient, once.
#pragma once
#include "gradient.cuh"
#include "topk.cuh"

constexpr int WindowColumns = 8192;

// Marks the entries among the columns of a window, and waits until all are marked. For a block.
__device__ __forceinline__ const unsigned char* markEntries(const RowArguments& a, long long row, int first, int columns) {
    __shared__ unsigned words[WindowColumns / sizeof(unsigned)];
    unsigned char* marks = reinterpret_cast<unsigned char*>(words);
    if (a.topK.count == 0) {
        return marks;
    }
    __syncthreads(); // the window before has been read
#pragma unroll 1
    for (int i = threadIdx.x; i < static_cast<int>(WindowColumns / sizeof(unsigned)); i += threads()) {
        words[i] = 0;
    }
    __syncthreads();
    const long long* indices = a.topK.indices + row * a.topK.count;
#pragma unroll 1
    for (int i = threadIdx.x; i < a.topK.count; i += threads()) {
        long long column = indices[i] - a.firstColumn - first;
        if (column >= 0 && column < columns) {
            marks[column] = 1;
        }
    }
    __syncthreads();
    return marks;
}

// Sums over a row, measured from the point of the exponentials, and arguments in their unit.
struct Sums {
    double mass;
    double entropy; // of mass * argument
    double squares;
    double tail; // the mass that no entry has
};

// For a block: every thread has them. Each window is added up by itself, as few additions lose few digits.
template <typename Number, typename TermOf>
__device__ __forceinline__ Sums sumColumns(const RowArguments& a, long long row, TermOf termOf) {
    Number mass = 0;
    Number entropy = 0;
    Number squares = 0;
    Number tail = 0;
#pragma unroll 1
    for (int first = 0; first < a.vocabulary; first += WindowColumns) {
        int columns = min(WindowColumns, a.vocabulary - first);
        const unsigned char* marks = markEntries(a, row, first, columns);
        Number windowMass = 0;
        Number windowEntropy = 0;
        Number windowSquares = 0;
        Number windowTail = 0;
#pragma unroll 1
        for (int i = threadIdx.x; i < columns; i += threads()) {
            Term<Number> p = termOf(first + i);
            windowMass += p.mass;
            windowEntropy += p.mass == 0 ? Number(0) : p.mass * p.argument;
            windowSquares = fma(p.mass, p.mass, windowSquares);
            windowTail += a.topK.count == 0 || marks[i] != 0 ? Number(0) : p.mass;
        }
        mass += windowMass;
        entropy += windowEntropy;
        squares += windowSquares;
        tail += windowTail;
    }
    Sums sums;
    sums.mass = ofAll<true, true>(mass);
    sums.entropy = ofAll<true, true>(entropy);
    sums.squares = ofAll<true, true>(squares);
    sums.tail = ofAll<true, true>(tail);
    return sums;
}

// The terms of a top-k reference: sums over the entries that are in this shard. For a block.
template <typename Element>
__device__ __forceinline__ void sumEntries(
    const RowArguments& a, long long index, const Row<Element, NoReference, true>& row, int label, RowState& s) {
    typedef typename Element::Real Real;
    double factor = a.scaling.factor;
    double max = s.max;
    double reference = 0;
    double cross = 0;
    if (threadIdx.x == 0) {
        s.referenceLabel = label < 0 ? 0.0 : notANumber<double>();
    }
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < a.topK.count; i += threads()) {
        long long entry = index * a.topK.count + i;
        long long column = a.topK.indices[entry] - a.firstColumn;
        if (column < 0 || column >= a.vocabulary) {
            continue;
        }
        double log = static_cast<const Real*>(a.topK.logProbabilities)[entry];
        double q = exp(log);
        double distance = row.exactPolicyAt(static_cast<int>(column)) - max;
        double difference = log / factor - distance;
        double weight = a.topK.isForward != 0 ? q : exp(factor * distance);
        reference += q;
        cross += times(weight, a.topK.isForward != 0 ? difference : -difference);
        if (column == label) {
            s.referenceLabel = log / factor;
        }
    }
    reference = ofAll<true, true>(reference);
    cross = ofAll<true, true>(cross);
    if (threadIdx.x == 0) {
        s.referenceSum = reference;
        s.cross = cross;
    }
}

template <typename Element>
__device__ __forceinline__ void completeKernel(const RowArguments& a) {
    typedef typename Element::Real Real;
    constexpr double SmallTail = 7.888609052210118e-31; // 2^-100; of a tail below it, float32 may miss terms
    long long index = rowIndexOf(a);
    if (index >= a.rows) {
        return;
    }
    long long label = a.labels[index];
    if (isIgnored<Real>(a, index, label) || isOutOfRange(a, label)) {
        return;
    }

    RowState& s = a.states[index];
    Row<Element, NoReference, true> row(a, index, false);
    double max = s.max;
    Real base = baseOf(static_cast<Real>(max), row.base2);
    double residue = residueAt<Real>(a, max);
    double unit = Ln2;
    Sums sums;
    bool exact = !isFinite(base) || mayWeighMuch<Real>(a, index);
    if (!exact) {
        sums = sumColumns<Real>(a, index, [&](int i) { return Term<Real>(fma(row.policyAt(i), row.base2, -base)); });
        exact = a.topK.count > 0 && sums.tail < SmallTail;
    }
    if (exact) {
        double factor = a.scaling.factor;
        sums = sumColumns<double>(a, index, [&](int i) {
            double argument = farArgument(row.exactPolicyAt(i), max, factor) * Up;
            return Term<double>(argument, exp(argument));
        });
        residue = 0;
        unit = 1;
    }
    if (threadIdx.x == 0) {
        double fromMax = exp(residue);
        s.entropy = (sums.entropy * unit + sums.mass * residue) * fromMax / a.scaling.factor;
        s.squares = sums.squares * fromMax * fromMax;
        s.tailSum = sums.tail * fromMax;
    }
    if (a.topK.count > 0) {
        sumEntries(a, index, row, columnOf(a, label), s);
    }
}

template <typename Element>
__device__ __forceinline__ void topKGradientKernel(const RowArguments& a) {
    typedef typename Element::Real Real;
    if (a.unlessOne != nullptr && *static_cast<const Real*>(a.unlessOne) == Real(1)) {
        return;
    }
    long long index = rowIndexOf(a);
    if (index >= a.rows) {
        return;
    }
    long long label = a.labels[index];
    bool ignored = isIgnored<Real>(a, index, label);
    if (ignored || isOutOfRange(a, label)) {
        fillRow<Element>(rowOf(a.gradient, index, Element::Bytes), ignored ? Real(0) : notANumber<Real>(), a.vocabulary, 0, 1, 0);
        return;
    }

    __shared__ Result result;
    __shared__ Coefficients<Real> c;
    if (threadIdx.x == 0) {
        restore<TopK>(a, index, result, c);
    }
    __syncthreads();
    Row<Element, NoReference, true> row(a, forget(index), false);
    if (c.none) {
        fillRow<Element>(row.gradient, notANumber<Real>(), a.vocabulary, 0, 1, 0);
        return;
    }
    int own = columnOf(a, label);
    GradientOf<Element, NoReference, true> gradient(c, row);
#pragma unroll 1
    for (int first = 0; first < a.vocabulary; first += WindowColumns) {
        int columns = min(WindowColumns, a.vocabulary - first);
        const unsigned char* marks = markEntries(a, index, first, columns);
#pragma unroll 1
        for (int i = threadIdx.x; i < columns; i += threads()) {
            int column = first + i;
            if (marks[i] == 0 && column != own) {
                Real value = c.careful ? gradient.careful(row, column) : gradient.fast(row.policyAt(column), Real(0));
                store<Element>(row.gradient, column, value);
            }
        }
    }

    double factor = a.scaling.factor;
    double ofDivergence = gradientScaleOf<Real>(a, index) * a.objective.logitScale * a.objective.klWeight;
#pragma unroll 1
    for (int i = threadIdx.x; i < a.topK.count; i += threads()) {
        long long entry = index * a.topK.count + i;
        long long column = a.topK.indices[entry] - a.firstColumn;
        if (column < 0 || column >= a.vocabulary || column == own) {
            continue;
        }
        double y = row.exactPolicyAt(static_cast<int>(column));
        double distance = farArgument(y, c.carefulMax, factor) * Up;
        double log = distance - result.logSum;
        double value = times(
            ofDivergence, TopK::atEntry(a, exp(log), log, static_cast<const Real*>(a.topK.logProbabilities)[entry], result.kl));
        value += c.carefulReference * exp(distance) - (y == -infinity<double>() ? 0.0 : c.carefulSmoothing);
        store<Element>(row.gradient, column, static_cast<Real>(gradient.softcap ? value * (1.0 - y * y) : value));
    }
    if (threadIdx.x == 0 && own >= 0) {
        store<Element>(row.gradient, own, c.atLabel);
    }
}
