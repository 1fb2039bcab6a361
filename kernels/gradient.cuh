// The gradient of each row, from its coefficients: those that the loss found in the same launch, those that "combine" left for rows that
// several blocks share, or those that follow from the saved state of the row, for an upstream gradient known only now. A label out of
// range was reported by the loss.
//
// Reads per logit: policy and reference once, but for what the loss kept in shared memory. Writes: the gradient, once; in place it
// overwrites what its own thread has read.
#pragma once
#include "exact.cuh"

// The same number, of which the compiler does not know that: what was derived from it is derived again, and takes no registers meanwhile.
__device__ __forceinline__ long long forget(long long row) {
    asm volatile("" : "+l"(row));
    return row;
}

// What all elements of a row's gradient share.
template <typename Element, typename Divergence, bool General>
struct GradientOf {
    typedef typename Element::Real Real;

    const Coefficients<Real>& c; // in shared memory; what the loop needs of it is copied
    Real policy;
    Real reference;
    Real smoothing;
    bool anchored;
    Real base2;
    Real base;
    Real referenceBase;
    bool softcap;

    __device__ GradientOf(const Coefficients<Real>& coefficients, const Row<Element, Divergence, General>& row) : c(coefficients) {
        policy = Element::IsCapped ? -c.policy : c.policy;
        reference = Element::IsCapped ? -c.reference : c.reference;
        smoothing = c.smoothing;
        anchored = c.anchored;
        base2 = row.base2;
        base = rint(c.max * base2); // of a row that is not careful
        referenceBase = rint(c.referenceMax * base2);
        softcap = row.isCapped();
    }

    __device__ bool readsReference() const { return Divergence::IsSummed && (!General || anchored); }

    // One element, from the arguments of the exponentials.
    __device__ Real at(Real y, Real argument, Real referenceArgument) const {
        Term<Real> p(argument);
        Real result = readsReference() ? Divergence::gradient(policy, reference, p, Term<Real>(referenceArgument)) : policy * p.mass;
        if constexpr (General) {
            result -= y == -infinity<Real>() ? Real(0) : smoothing;
        }
        if constexpr (Element::IsCapped) {
            return result * fma(y, y, Real(-1)); // of coefficients that have the other sign
        }
        return softcap ? result * fma(-y, y, Real(1)) : result;
    }

    __device__ Real fast(Real y, Real referenceY) const {
        return at(y, fma(y, base2, -base), fma(referenceY, base2, -referenceBase));
    }

    // In float64, with every guard.
    __device__ Real careful(const Row<Element, Divergence, General>& row, int index) const {
        double factor = row.a.scaling.factor;
        double y = row.exactPolicyAt(index);
        double result = Divergence::gradientWithCare(c, readsReference(), [&](int model) {
            return model == 0 ? farArgument(y, c.carefulMax, factor)
                : farArgument(row.exactReferenceAt(index), c.carefulReferenceMax, factor);
        });
        if constexpr (General) {
            result -= y == -infinity<double>() ? 0.0 : c.carefulSmoothing;
        }
        return static_cast<Real>(softcap ? result * (1.0 - y * y) : result);
    }
};

template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void writeCarefully(
    const Row<Element, Divergence, General>& row, const GradientOf<Element, Divergence, General>& gradient, int label, int index) {
    store<Element>(row.gradient, index, index == label ? gradient.c.atLabel : gradient.careful(row, index));
}

// Writes one element of a row that is not careful. A masked logit leaves no finite reverse gradient.
template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void writeElement(
    const Row<Element, Divergence, General>& row, const GradientOf<Element, Divergence, General>& gradient, int label, int index) {
    typedef typename Element::Real Real;
    Real value = gradient.fast(row.policyAt(index), gradient.readsReference() ? row.referenceAt(index) : Real(0));
    if (Divergence::HasCenter && !isFinite(value)) {
        writeCarefully(row, gradient, label, index);
    } else {
        store<Element>(row.gradient, index, index == label ? gradient.c.atLabel : value);
    }
}

// The gradient of a chunk; false where it takes care. Whether the block has summed the row before.
template <bool Summed, template <typename, int> class Chunk, typename Of, int N, typename Element, typename Divergence, bool General>
__device__ __forceinline__ bool gradientOfChunk(
    const Row<Element, Divergence, General>& row, const GradientOf<Element, Divergence, General>& gradient, const Chunk<Of, N>& p,
    const Chunk<Of, N>& q, typename Element::Real* values) {
    typedef typename Element::Real Real;
    bool both = gradient.readsReference();
    bool isNear = Summed && row.isAllNear();
    if (Element::IsCapped && !isNear) {
        isNear = row.isNear(both ? max(p.largest(), q.largest()) : p.largest(), p.smallest(both ? q : p));
    }
    row.withTransform(isNear, [&](auto yOf) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            values[i] = gradient.fast(yOf(p.at(i)), both ? yOf(q.at(i)) : Real(0));
        }
    });
    if constexpr (Divergence::HasCenter) {
        Real total = 0;
#pragma unroll
        for (int i = 0; i < N; i++) {
            total += values[i];
        }
        return isFinite(total);
    }
    return true;
}

// The gradient of this block's part of a row, from its end, which was read last; whether its first tiles were kept.
template <bool Kept, typename Element, typename Divergence, bool General>
__device__ __forceinline__ void writeGradient(
    const Row<Element, Divergence, General>& row, const Walk<Element, Row<Element, Divergence, General>::N>& walk, int part, int label,
    const Coefficients<typename Element::Real>& c) {
    typedef typename Element::Real Real;
    constexpr int N = Row<Element, Divergence, General>::N;
    typedef Walk<Element, N> Path;
    if (c.none) {
        fillRow<Element>(row.gradient, notANumber<Real>(), row.a.vocabulary, part, row.a.parts, row.a.tilesPerPart);
        return;
    }
    GradientOf<Element, Divergence, General> gradient(c, row);
    if (c.careful) {
#pragma unroll 1
        for (int i = threadIdx.x; i < walk.elements(); i += threads()) {
            writeCarefully(row, gradient, label, walk.elementAt(i));
        }
        return;
    }

#pragma unroll 1
    for (int edge = threadIdx.x; edge < walk.edges(); edge += threads()) {
        writeElement(row, gradient, label, walk.edgeAt(edge));
    }

    if (walk.isLoose) {
#pragma unroll 1
        for (int start = walk.back(Path::LooseTile); start >= walk.first; start -= walk.step(Path::LooseTile)) {
            Widened<Real, Path::Loose> p;
            Widened<Real, Path::Loose> q;
            Real values[Path::Loose];
            loadLoose<Element>(row.policy, walk.looseAt(start, 0), p);
            if (gradient.readsReference()) {
                loadLooseAny(row.reference, row.a.reference.type, walk.looseAt(start, 0), q);
            }
            bool plain = gradientOfChunk<Kept>(row, gradient, p, q, values);
            if (!plain || static_cast<unsigned>(label - start) < Path::LooseTile) {
#pragma unroll 1
                for (int i = 0; i < Path::Loose; i++) {
                    writeElement(row, gradient, label, walk.looseAt(start, i));
                }
                continue;
            }
#pragma unroll
            for (int i = 0; i < Path::Loose; i++) {
                store<Element>(row.gradient, walk.looseAt(start, i), values[i]);
            }
        }
        return;
    }

    const unsigned char* policyLane = row.policy + walk.laneBytes();
    const unsigned char* referenceLane = row.reference + walk.laneBytes();
    unsigned char* gradientLane = row.gradient + walk.laneBytes();
    KeptTiles<Element, N> kept(walk, row.a.keptTiles);
#pragma unroll 1
    for (int start = walk.back(); start >= walk.first; start -= walk.stepAgain()) {
        Packed<Element, N> p;
        Packed<Element, N> q;
        Real values[N];
        bool isKept = Kept && kept.has(start);
        walk.template loadLast<Kept>(isKept ? kept.policyLane() : policyLane, start, p);
        if (gradient.readsReference()) {
            walk.template loadLast<Kept>(isKept ? kept.referenceLane() : referenceLane, start, q);
        }
        if (!gradientOfChunk<Kept>(row, gradient, p, q, values)) {
#pragma unroll 1
            for (int i = 0; i < N; i++) {
                writeElement(row, gradient, label, walk.elementAt(start, i));
            }
            continue;
        }
        Packed<Element, N> chunk;
        packAll<Element, N>(values, chunk.words);
        unsigned inTile = static_cast<unsigned>(label - start);
        if (inTile < Path::Tile) {
            replace<Element, N>(chunk.words, walk.slotOf(static_cast<int>(inTile)), c.atLabel);
        }
        walk.store(gradientLane, start, chunk);
    }
}

template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void gradientOfRow(const RowArguments& a, const long long& index) {
    typedef typename Element::Real Real;
    int part = partOf(a);
    long long label = a.labels[index];
    bool ignored = isIgnored<Real>(a, index, label);
    if (ignored || isOutOfRange(a, label)) {
        fillRow<Element>(
            rowOf(a.gradient, index, Element::Bytes), ignored ? Real(0) : notANumber<Real>(), a.vocabulary, part, a.parts, a.tilesPerPart);
        return;
    }

    __shared__ Result result;
    __shared__ Coefficients<Real> coefficients;
    if (threadIdx.x == 0) {
        if (a.coefficients != nullptr) {
            coefficients = static_cast<const Coefficients<Real>*>(a.coefficients)[index];
        } else {
            restore<Divergence>(a, index, result, coefficients);
        }
    }
    __syncthreads();
    Row<Element, Divergence, General> row(a, forget(index), Divergence::IsSummed);
    writeGradient<false, Element, Divergence, General>(row, row.walk(part), part, columnOf(a, label), coefficients);
}

template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void gradientKernel(const RowArguments& a) {
    if (!isFinished<typename Element::Real>(a)) {
        forEachRow(a, [&](const long long& index) { gradientOfRow<Element, Divergence, General>(a, index); });
    }
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
#pragma unroll 1
    for (long long index = rowIndexOf(a); index < a.rows; index += rowsOfGrid(a)) {
        if (isIgnored<Real>(a, index, a.labels[index])) {
            continue;
        }
        unsigned char* row = rowOf(a.gradient, index, Element::Bytes);
        Walk<Element, N> walk(row, row, row, true, a.vocabulary, 0, 1, 0);
        unsigned char* lane = row + walk.laneBytes();
#pragma unroll 1
        for (int start = walk.front(); start < walk.last; start += walk.step()) {
            Packed<Element, N> chunk;
            Real values[N];
            walk.load(lane, start, chunk, 0);
#pragma unroll
            for (int i = 0; i < N; i++) {
                values[i] = chunk.at(i) * factor;
            }
            packAll<Element, N>(values, chunk.words);
            walk.store(lane, start, chunk);
        }
#pragma unroll 1
        for (int edge = threadIdx.x; edge < walk.edges(); edge += threads()) {
            int at = walk.edgeAt(edge);
            store<Element>(row, at, load<Element>(row, at) * factor);
        }
    }
}
