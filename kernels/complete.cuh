// What most losses do not need, so that their kernels stay short: "complete" adds to the state of each row, which "summarize" has written,
// the terms of the policy's entropy and, of a top-k reference, everything; "gradient_TopK" is the gradient of such a divergence. One block
// of RowThreads to a row.
//
// Columns that are entries are marked in shared memory, a window of the row at a time: so the tail is summed without them, and keeps its
// digits however little it is, and the gradient leaves their logits alone until they have been read, in place, too.
//
// Reads per logit: the policy once, and beside an entry up to three times; a tail below float32, once more. Writes: the gradient, once.
#pragma once
#include "gradient.cuh"
#include "topk.cuh"

// A part of a row, 16 bytes to a thread at a time. The first begins at a line of memory, and so before the row.
template <typename Element>
struct Window {
    typedef typename Element::Real Real;
    static constexpr int N = VectorBytes / Element::Bytes;
    static constexpr int Columns = 8192;
    static constexpr int Step = RowThreads * N;

    int first;
    int end;
    const unsigned char* marks; // by column from "first": whether it is an entry

    // For a block. Waits until all entries are marked.
    __device__ Window(const RowArguments& a, long long row, int firstColumn) {
        __shared__ unsigned words[Columns / sizeof(unsigned)];
        unsigned char* marked = reinterpret_cast<unsigned char*>(words);
        first = firstColumn;
        end = min(first + Columns, a.vocabulary);
        marks = marked;
        __syncthreads(); // the window before has been read
#pragma unroll 1
        for (int i = threadIdx.x; i < static_cast<int>(Columns / sizeof(unsigned)); i += RowThreads) {
            words[i] = 0;
        }
        __syncthreads();
        const long long* indices = a.topK.indices + row * a.topK.count;
#pragma unroll 1
        for (int i = threadIdx.x; i < a.topK.count; i += RowThreads) {
            long long column = indices[i] - a.firstColumn;
            if (column >= first && column < end) {
                marked[column - first] = 1;
            }
        }
        __syncthreads();
    }

    // Where the first window of a row begins, and this thread's first column of a window.
    __device__ static int startOf(const unsigned char* row) {
        return -static_cast<int>(reinterpret_cast<unsigned long long>(row) % LineBytes) / Element::Bytes;
    }
    __device__ int begin() const { return first + static_cast<int>(threadIdx.x) * N; }

    __device__ bool isEntry(int column) const { return marks[column - first] != 0; }

    // N logits; 0 for those that are not in the row. "whole" tells that all are, and at an address of 16 bytes.
    __device__ static void load(const RowArguments& a, const unsigned char* row, int column, bool whole, Real* x) {
        if (whole) {
            unsigned words[VectorWords];
            loadVectors(row + static_cast<long long>(column) * Element::Bytes, words);
#pragma unroll
            for (int i = 0; i < N; i++) {
                x[i] = Element::at(words, i);
            }
        } else {
#pragma unroll
            for (int i = 0; i < N; i++) {
                x[i] = isIn(a, column + i) ? ::load<Element>(row, column + i) : Real(0);
            }
        }
    }

    __device__ static bool isIn(const RowArguments& a, int column) { return column >= 0 && column < a.vocabulary; }
    __device__ static bool isWhole(const RowArguments& a, int column) { return column >= 0 && column + N <= a.vocabulary; }
};

// Sums over a row, measured from the point of the exponentials, and arguments in their unit.
struct Sums {
    double mass;
    double entropy; // of mass * argument
    double squares;
    double tail; // the mass that no entry has
};

// The same of a thread.
template <typename Number>
struct ThreadSums {
    Number mass = 0;
    Number entropy = 0;
    Number squares = 0;
    Number tail = 0;

    __device__ void add(const Term<Number>& p, bool isEntry) {
        mass += p.mass;
        entropy = fma(p.mass, max(p.argument, -Number(NoMass)), entropy); // -inf has no mass
        squares = fma(p.mass, p.mass, squares);
        tail += isEntry ? Number(0) : p.mass;
    }

    __device__ void add(const ThreadSums& part) {
        mass += part.mass;
        entropy += part.entropy;
        squares += part.squares;
        tail += part.tail;
    }

    // For a block: every thread has the sums of all.
    __device__ Sums ofBlock() const {
        Sums sums;
        sums.mass = ofAll<true, true>(mass);
        sums.entropy = ofAll<true, true>(entropy);
        sums.squares = ofAll<true, true>(squares);
        sums.tail = ofAll<true, true>(tail);
        return sums;
    }
};

// Measured from a base. Each window is added up by itself: few additions lose few digits.
template <typename Element>
__device__ __forceinline__ Sums sumColumns(
    const Row<Element, NoReference, true>& row, long long index, typename Element::Real base) {
    typedef typename Element::Real Real;
    typedef Window<Element> Part;
    ThreadSums<Real> sums;
#pragma unroll 1
    for (int first = Part::startOf(row.policy); first < row.a.vocabulary; first += Part::Columns) {
        Part window(row.a, index, first);
        ThreadSums<Real> ofWindow;
#pragma unroll 1
        for (int column = window.begin(); column < window.end; column += Part::Step) {
            Real x[Part::N];
            bool whole = Part::isWhole(row.a, column);
            Part::load(row.a, row.policy, column, whole, x);
#pragma unroll
            for (int i = 0; i < Part::N; i++) {
                bool isIn = whole || Part::isIn(row.a, column + i);
                Term<Real> p(isIn ? fma(row.transform(x[i]), row.base2, -base) : -infinity<Real>());
                ofWindow.add(p, window.isEntry(column + i));
            }
        }
        sums.add(ofWindow);
    }
    return sums.ofBlock();
}

// In float64, measured from the maximum, arguments in nats: slow, and for few rows.
template <typename Element>
__device__ __forceinline__ Sums sumColumnsExactly(const Row<Element, NoReference, true>& row, long long index, double max) {
    typedef Window<Element> Part;
    double factor = row.a.scaling.factor;
    ThreadSums<double> sums;
#pragma unroll 1
    for (int first = Part::startOf(row.policy); first < row.a.vocabulary; first += Part::Columns) {
        Part window(row.a, index, first);
#pragma unroll 1
        for (int column = (first < 0 ? 0 : first) + static_cast<int>(threadIdx.x); column < window.end; column += RowThreads) {
            double argument = farArgument(row.exactPolicyAt(column), max, factor) * Up;
            sums.add(Term<double>(argument, exp(argument)), window.isEntry(column));
        }
    }
    return sums.ofBlock();
}

// The terms of a top-k reference: sums over the entries that are in this shard. For a block.
template <typename Element>
__device__ __forceinline__ void sumEntries(
    const RowArguments& a, long long index, const Row<Element, NoReference, true>& row, int label, RowState& s) {
    typedef typename Element::Real Real;
    double factor = a.scaling.factor;
    double max = s.max;
    double own = 0;
    double reference = 0;
    double cross = 0;
    if (threadIdx.x == 0) {
        s.referenceLabel = label < 0 ? 0.0 : notANumber<double>();
    }
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < a.topK.count; i += RowThreads) {
        long long entry = index * a.topK.count + i;
        long long column = a.topK.indices[entry] - a.firstColumn;
        if (column < 0 || column >= a.vocabulary) {
            continue;
        }
        double log = static_cast<const Real*>(a.topK.logProbabilities)[entry];
        double q = exp(log);
        double distance = row.exactPolicyAt(static_cast<int>(column)) - max;
        double difference = log / factor - distance;
        double p = exp(factor * distance);
        own += p;
        reference += q;
        cross += a.topK.isForward != 0 ? times(q, difference) : times(p, -difference);
        if (column == label) {
            s.referenceLabel = log / factor;
        }
    }
    own = ofAll<true, true>(own);
    reference = ofAll<true, true>(reference);
    cross = ofAll<true, true>(cross);
    if (threadIdx.x == 0) {
        s.sum = s.tailSum + own; // to the last digit of both: the divergence does not forgive probabilities that do not add up to 1
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
        sums = sumColumns(row, index, base);
        exact = a.topK.count > 0 && sums.tail < SmallTail;
    }
    if (exact) {
        sums = sumColumnsExactly(row, index, max);
        residue = 0;
        unit = 1;
    }
    if (threadIdx.x == 0) {
        double fromMax = exp(residue);
        s.entropy = (sums.entropy * unit + sums.mass * residue) * fromMax / a.scaling.factor;
        s.squares = sums.squares * fromMax * fromMax;
        s.tailSum = a.topK.count > 0 ? sums.tail * fromMax : 0.0;
    }
    if (a.topK.count > 0) {
        sumEntries(a, index, row, columnOf(a, label), s);
    }
}

template <typename Element>
__device__ __forceinline__ void topKGradientOfRow(const RowArguments& a, const long long& index) {
    typedef typename Element::Real Real;
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
    typedef Window<Element> Part;
    int own = columnOf(a, label);
    bool alike = (reinterpret_cast<unsigned long long>(row.policy) - reinterpret_cast<unsigned long long>(row.gradient)) % VectorBytes == 0;
    GradientOf<Element, NoReference, true> gradient(c, row);
#pragma unroll 1
    for (int first = Part::startOf(row.policy); first < a.vocabulary; first += Part::Columns) {
        Part window(a, index, first);
#pragma unroll 1
        for (int column = window.begin(); column < window.end; column += Part::Step) {
            Real values[Part::N];
            bool whole = alike && Part::isWhole(a, column);
            Part::load(a, row.policy, column, whole, values);
            bool isPlain = whole && !c.careful && static_cast<unsigned>(own - column) >= Part::N;
#pragma unroll
            for (int i = 0; i < Part::N; i++) {
                values[i] = gradient.fast(row.transform(values[i]), Real(0));
                isPlain = isPlain && !window.isEntry(column + i);
            }
            if (isPlain) {
                unsigned words[VectorWords];
                packAll<Element, Part::N>(values, words);
                storeVectors(row.gradient + static_cast<long long>(column) * Element::Bytes, words);
                continue;
            }
#pragma unroll 1
            for (int i = max(column, 0); i < min(column + Part::N, a.vocabulary); i++) {
                if (!window.isEntry(i) && i != own) {
                    store<Element>(row.gradient, i, c.careful ? gradient.careful(row, i) : gradient.fast(row.policyAt(i), Real(0)));
                }
            }
        }
    }

    __syncthreads(); // in place, whoever reads entries with what lies beside them has done so
    double factor = a.scaling.factor;
    double ofDivergence = gradientScaleOf<Real>(a, index) * a.objective.logitScale * a.objective.klWeight;
#pragma unroll 1
    for (int i = threadIdx.x; i < a.topK.count; i += RowThreads) {
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

template <typename Element>
__device__ __forceinline__ void topKGradientKernel(const RowArguments& a) {
    if (!isFinished<typename Element::Real>(a)) {
        forEachRow(a, [&](const long long& index) { topKGradientOfRow<Element>(a, index); });
    }
}
