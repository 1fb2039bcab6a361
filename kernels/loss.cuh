// The loss of each row and, in the same launch, its gradient. One block to a row: it reads the policy row and the reference row once
// from memory for the sums, and, where a gradient is wanted, once more to write it: from its own shared memory as much as finds room there,
// the rest from the cache it may still be in. Ignored rows are not read. Where a row is too long for one block's shared memory, and the
// device has clusters, the blocks of one take a part of it each (blockIdx.y); the first merges their sums, which it reads from their shared
// memory, in the order of the parts. Where there are few rows for the multiprocessors, blocks share a row too, but leave their sums in
// a.partials, "combine" merges them, and the gradient is a launch of its own: no block waits for another.
//
// "summarize" stops at the states of the rows, which may be a shard of the vocabulary: states.cu merges and finishes them.
//
// Reads per logit: policy and reference once, twice with a gradient where they were not kept. Writes: the gradient, once.
#pragma once
#include "cluster.cuh"
#include "gradient.cuh"

// The sums of a part of a row, as they lie in memory between two launches.
template <typename Real>
struct Partial {
    ThreadRowState<Real> sums;
    int predicted;
    int unused; // no padding: a copy of it would read what nobody wrote
};

static_assert(sizeof(Partial<double>) <= RecordBytes && sizeof(Coefficients<double>) <= RecordBytes, "room for a record");

// Adds one logit of each row.
template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void addElement(
    ThreadRowState<typename Element::Real>& sums, const Row<Element, Divergence, General>& row, int index, int place) {
    typedef typename Element::Real Real;
    Real x = load<Element>(row.policy, index);
    Real y = row.transform(x);
    Real referenceY = !Divergence::Reads ? -infinity<Real>() : row.referenceAt(index);
    raise<Divergence, General>(sums, y, referenceY, row.base2, row.slack);
    addCarefully<Divergence, General>(sums, y, referenceY, row.base2);
    if (x > sums.best || (x == sums.best && place < sums.place)) {
        sums.best = x;
        sums.place = place;
    }
}

// What takes an argument to where the exponentials of a thread's sums are measured from.
template <typename Real>
struct Bases {
    Real policy;
    Real reference;
    Real most = notANumber<Real>(); // under a softcap: up to this logit none can rise far above them
    Real referenceMost = notANumber<Real>();
    int far = 0; // under a softcap: not all chunks so far were near zero, for softcap.cuh

    __device__ void follow(const ThreadRowState<Real>& sums, Real base2) {
        policy = -baseOf(sums.max, base2);
        reference = -baseOf(sums.referenceMax, base2);
    }
};

// Adds a chunk of each row, of a tile that begins at "start"; elementAt gives the indices of its elements.
template <template <typename, int> class Chunk, typename Of, int N, typename Element, typename Divergence, bool General, typename At>
__device__ __forceinline__ void addTile(
    ThreadRowState<typename Element::Real>& sums, Bases<typename Element::Real>& bases, const Row<Element, Divergence, General>& row,
    const Chunk<Of, N>& p, const Chunk<Of, N>& q, int start, At elementAt) {
    typedef typename Element::Real Real;
    Real largest = p.largest();
    Real referenceLargest = !Divergence::Reads ? -infinity<Real>() : q.largest();
    if constexpr (Element::IsCapped) {
        if (!(largest <= bases.most) || (Divergence::Reads && !(referenceLargest <= bases.referenceMost))) {
            moveTo<Divergence, General>(
                sums, max(sums.max, row.transform(largest)), max(sums.referenceMax, row.transform(referenceLargest)), row.base2);
            bases.follow(sums, row.base2);
            bases.most = max(bases.most, largest + row.a.scaling.softcap.slack);
            bases.referenceMost = max(bases.referenceMost, referenceLargest + row.a.scaling.softcap.slack);
        }
    } else if (raise<Divergence, General>(sums, row.transform(largest), row.transform(referenceLargest), row.base2, row.slack) || General) {
        bases.follow(sums, row.base2);
    }
    bool clean;
    bool isNear = row.isNear(max(largest, referenceLargest), p.smallest(Divergence::Reads ? q : p));
    bases.far = isNear ? bases.far : 1;
    row.withTransform(isNear, [&](auto yOf) {
        clean = addChunk<Divergence, General, N>(sums, [&](int i) { return yOf(p.at(i)); }, [&](int i) { return yOf(q.at(i)); }, row.base2,
            bases.policy, bases.reference);
    });
    if (!clean) {
#pragma unroll 1
        for (int i = 0; i < N; i++) {
            addElement(sums, row, elementAt(i), start);
        }
        bases.follow(sums, row.base2);
    }
    if (largest > sums.best) {
        sums.best = largest;
        sums.place = start;
    }
}

// The sums of this thread's share of the row; whether its first tiles are kept for the gradient, and whether all its chunks were near zero.
template <bool Kept, typename Element, typename Divergence, bool General>
__device__ __forceinline__ ThreadRowState<typename Element::Real> sumRow(
    const Row<Element, Divergence, General>& row, const Walk<Element, Row<Element, Divergence, General>::N>& walk, bool& allNear) {
    typedef typename Element::Real Real;
    typedef Walk<Element, Row<Element, Divergence, General>::N> Path;
    ThreadRowState<Real> sums = noSums<Real>();
    Bases<Real> bases;
    bases.policy = bases.reference = 0;
    if (!walk.isLoose) {
        const unsigned char* policyLane = row.policy + walk.laneBytes();
        const unsigned char* referenceLane = row.reference + walk.laneBytes();
        KeptTiles<Element, Row<Element, Divergence, General>::N> kept(walk, row.a.keptTiles);
#pragma unroll 1
        for (int start = walk.front(); start < walk.last; start += walk.step()) {
            Packed<Element, Row<Element, Divergence, General>::N> p;
            Packed<Element, Row<Element, Divergence, General>::N> q;
            walk.load(policyLane, start, p, Kept ? kept.end : 0);
            if (Divergence::Reads) {
                walk.load(referenceLane, start, q, Kept && Divergence::IsSummed ? kept.end : 0);
            }
            if (Kept && kept.has(start)) {
                kept.keepPolicy(start, p);
                if (Divergence::IsSummed) {
                    kept.keepReference(start, q);
                }
            }
            addTile(sums, bases, row, p, q, start, [&](int i) { return walk.elementAt(start, i); });
        }
    } else {
#pragma unroll 1
        for (int start = walk.front(Path::LooseTile); start < walk.last; start += walk.step(Path::LooseTile)) {
            Widened<Real, Path::Loose> p;
            Widened<Real, Path::Loose> q;
            loadLoose<Element>(row.policy, walk.looseAt(start, 0), p);
            if (Divergence::Reads) {
                loadLooseAny(row.reference, row.a.reference.type, walk.looseAt(start, 0), q);
            }
            addTile(sums, bases, row, p, q, start, [&](int i) { return walk.looseAt(start, i); });
        }
    }

#pragma unroll 1
    for (int edge = threadIdx.x; edge < walk.edges(); edge += threads()) {
        addElement(sums, row, walk.edgeAt(edge), walk.edgeAt(edge));
    }
    allNear = bases.far == 0;
    return sums;
}

// Index of the first of the largest logits; in the body the first warp looks through the tile where it was seen.
template <typename Element, int N>
__device__ __forceinline__ int findLargest(
    const unsigned char* row, const Walk<Element, N>& walk, typename Element::Real best, int place) {
    if (!walk.isInTile(place)) {
        return place == Nowhere ? 0 : place; // nowhere: every logit is -inf or NaN
    }
    unsigned who = 0;
#pragma unroll 1
    for (int i = 0; i < N && who == 0; i++) {
        who = __ballot_sync(FullWarp, load<Element>(row, place + static_cast<int>(threadIdx.x) % WarpSize) == best);
        place += WarpSize;
    }
    return place - WarpSize + __ffs(static_cast<int>(who)) - 1;
}

// Merges the sums of a block's warps; the first warp has the result.
template <typename Divergence, bool General, typename Real>
__device__ __forceinline__ void mergeBlock(ThreadRowState<Real>& sums, Real base2) {
    __shared__ ThreadRowState<Real> parts[MostWarps];
    int lane = threadIdx.x % WarpSize;
    mergeWarp<Divergence, General>(sums, base2);
    if (lane == 0) {
        parts[threadIdx.x / WarpSize] = sums;
    }
    __syncthreads();
    if (threadIdx.x < WarpSize) {
        sums = lane < warps() ? parts[lane] : noSums<Real>();
        mergeWarp<Divergence, General>(sums, base2);
    }
}

// Finishes a row from what its threads have seen. For one thread.
template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void finishSums(
    const Row<Element, Divergence, General>& row, long long index, int label, const ThreadRowState<typename Element::Real>& sums,
    int predicted, RowState& state, Result& result, Coefficients<typename Element::Real>& coefficients) {
    double referenceY = !Divergence::Reads ? 0.0 : static_cast<double>(row.referenceAt(label));
    state.predicted = predicted;
    summarize<Divergence>(state, row.a, sums, true, row.policyAt(label), referenceY);
    addLabelReference<typename Element::Real>(row.a, index, state, true);
    evaluate<typename Divergence::Known, typename Element::Real>(result, row.a, index, state);
    finishRow<Divergence>(row.a, index, state, result, coefficients);
}

// Finishes a row that float32 left in doubt, by a block or by a warp; the first thread has the coefficients.
template <bool Block, typename Element, typename Divergence, bool General>
__device__ __forceinline__ void finishExactly(
    const RowArguments& a, long long index, int label, RowState& state, Result& result,
    Coefficients<typename Element::Real>& coefficients) {
    Row<Element, Divergence, General> row(a, index, Divergence::Reads);
    summarizeExactly<Block>(state, row, label);
    if ((Block ? threadIdx.x : threadIdx.x % WarpSize) == 0) {
        evaluate<typename Divergence::Known, typename Element::Real>(result, a, index, state);
        result.exact = true;
        finishRow<Divergence>(a, index, state, result, coefficients);
    }
}

// Finds a row, and this block's part of it. For one thread.
template <typename Divergence, bool General, typename Element, int N>
__device__ __forceinline__ void placeRow(Place<Element, N>& place, const RowArguments& a, long long index, int part) {
    Row<Element, Divergence, General> row(a, index, Divergence::Reads);
    place.policy = row.policy;
    place.reference = row.reference;
    place.gradient = row.gradient;
    place.walk = row.walk(part);
    place.label = a.labels[index];
    place.ignored = isIgnored<typename Element::Real>(a, index, place.label);
    place.counts = !place.ignored && !isOutOfRange(a, place.label);
    place.sameType = row.sameType;
    place.allNear = false;
}

// Finishes a row from the sums of the parts that the blocks of a cluster have; for the first block.
template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void finishCluster(
    const RowArguments& a, const long long& index, int label, const Partial<typename Element::Real>& partial, RowState& state, Result& result,
    Coefficients<typename Element::Real>& coefficients) {
    typedef typename Element::Real Real;
    if (threadIdx.x < WarpSize) {
        ThreadRowState<Real> sums = noSums<Real>();
        if (static_cast<int>(threadIdx.x) < a.parts) {
            Partial<Real> other = ofBlock(partial, threadIdx.x);
            sums = other.sums;
            sums.place = other.predicted;
        }
        Row<Element, Divergence, General> row(a, index, Divergence::Reads);
        mergeWarp<Divergence, General>(sums, row.base2);
        if (threadIdx.x == 0) {
            finishSums(row, index, label, sums, sums.place, state, result, coefficients);
        }
        __syncwarp();
        writeState(a, index, state, threadIdx.x);
    }
}

template <typename Element, typename Divergence, bool General>
__device__ __forceinline__ void lossKernel(const RowArguments& a) {
    typedef typename Element::Real Real;
    int part = partOf(a);
    long long index = rowIndexOf(a);
    if (index >= a.rows) {
        return;
    }
    __shared__ Place<Element, Row<Element, Divergence, General>::N> place;
    if (threadIdx.x == 0) {
        placeRow<Divergence, General>(place, a, index, part);
    }
    __syncthreads();
    bool shares = !AreClusters && a.parts > 1; // and leaves what follows to other launches
    if (!place.counts) {
        if (!shares) {
            if (threadIdx.x == 0 && part == 0) {
                writeUncounted<Real>(a, index, place.label, place.ignored);
            }
            if (a.gradient.data != nullptr) {
                fillRow<Element>(
                    place.gradient, place.ignored ? Real(0) : notANumber<Real>(), a.vocabulary, part, a.parts, a.tilesPerPart);
            }
        }
        return;
    }

    Row<Element, Divergence, General> row(a, place);
    Walk<Element, Row<Element, Divergence, General>::N> walk = place.walk;
    bool allNear;
    ThreadRowState<Real> sums = sumRow<true, Element, Divergence, General>(row, walk, allNear);
    mergeBlock<Divergence, General>(sums, row.base2);
    if constexpr (Element::IsCapped) {
        allNear = __syncthreads_and(allNear);
        if (threadIdx.x == 0) {
            place.allNear = allNear;
        }
    }

    __shared__ Partial<Real> partial;
    __shared__ RowState state;
    __shared__ Result result;
    __shared__ Coefficients<Real> coefficients;
    if (threadIdx.x < WarpSize) {
        int predicted = a.outputs.predicted == nullptr && a.states == nullptr ? 0 : findLargest(row.policy, walk, sums.best, sums.place);
        if (threadIdx.x == 0) {
            if (AreClusters || shares) {
                Partial<Real>& own = AreClusters ? partial : static_cast<Partial<Real>*>(a.partials)[index * a.parts + part];
                own.sums = sums;
                own.predicted = predicted;
                own.unused = 0;
            } else {
                finishSums(row, index, static_cast<int>(place.label), sums, predicted, state, result, coefficients);
            }
        }
        if (!AreClusters && !shares) {
            __syncwarp();
            writeState(a, index, state, threadIdx.x);
        }
    }
    if (shares) {
        return;
    }
    if constexpr (AreClusters) {
        arriveAtCluster();
        waitForCluster(); // all parts are summed
    }
    if (!AreClusters || part == 0) {
        if constexpr (AreClusters) {
            finishCluster<Element, Divergence, General>(a, forget(index), static_cast<int>(place.label), partial, state, result, coefficients);
        }
        __syncthreads();
        if (coefficients.doubtful) {
            finishExactly<true, Element, Divergence, General>(a, forget(index), static_cast<int>(place.label), state, result, coefficients);
            __syncthreads();
            writeState(a, forget(index), state, threadIdx.x);
        }
    }
    if (a.gradient.data == nullptr) {
        return;
    }
    if constexpr (AreClusters) {
        arriveAtCluster();
        waitForCluster(); // the coefficients are there, and no other block reads logits any more, which the gradient may overwrite
        if (part != 0) {
            copyOfBlock(coefficients, 0);
        }
        arriveAtCluster();
        __syncthreads();
    }
    // Read again: kept over the epilogue, these would take the registers that the epilogue needs.
    Row<Element, Divergence, General> again(a, place);
    Walk<Element, Row<Element, Divergence, General>::N> path = place.walk;
    writeGradient<true, Element, Divergence, General>(again, path, part, static_cast<int>(place.label), coefficients);
    if constexpr (AreClusters) {
        waitForCluster(); // nobody reads the shared memory of a block that has left
    }
}

// Merges the partial sums of each row that several blocks shared; one warp to a row, one lane to a part.
template <typename Element, typename Divergence>
__device__ __forceinline__ void combineRows(const RowArguments& a) {
    typedef typename Element::Real Real;
    int lane = threadIdx.x % WarpSize;
    long long index = blockIdx.x * static_cast<long long>(CombineThreads / WarpSize) + threadIdx.x / WarpSize;
    if (index >= a.rows) {
        return;
    }
    long long label = a.labels[index];
    bool ignored = isIgnored<Real>(a, index, label);
    if (ignored || isOutOfRange(a, label)) {
        if (lane == 0) {
            writeUncounted<Real>(a, index, label, ignored);
        }
        return;
    }

    const Partial<Real>* partials = static_cast<const Partial<Real>*>(a.partials) + index * a.parts;
    ThreadRowState<Real> sums = noSums<Real>();
    if (lane < a.parts) {
        sums = partials[lane].sums;
        sums.place = partials[lane].predicted; // parts share the tail too, so the first place need not be in the first part
    }
    Row<Element, Divergence, true> row(a, index, Divergence::Reads);
    mergeWarp<Divergence, true>(sums, row.base2);
    __shared__ RowState states[CombineThreads / WarpSize];
    __shared__ Result results[CombineThreads / WarpSize];
    __shared__ Coefficients<Real> all[CombineThreads / WarpSize];
    RowState& state = states[threadIdx.x / WarpSize];
    Result& result = results[threadIdx.x / WarpSize];
    Coefficients<Real>& coefficients = all[threadIdx.x / WarpSize];
    if (lane == 0) {
        finishSums(row, index, static_cast<int>(label), sums, sums.place, state, result, coefficients);
    }
    if (__shfl_sync(FullWarp, lane == 0 ? coefficients.doubtful : 0, 0)) {
        finishExactly<false, Element, Divergence, true>(a, index, static_cast<int>(label), state, result, coefficients);
    }
    __syncwarp();
    writeState(a, index, state, lane);
    if (lane == 0 && a.gradient.data != nullptr) {
        static_cast<Coefficients<Real>*>(a.coefficients)[index] = coefficients;
    }
}

// The state of each row, of which these may be a shard; one block to a row. The label may be in another shard.
template <typename Element, typename Divergence>
__device__ __forceinline__ void summarizeKernel(const RowArguments& a) {
    typedef typename Element::Real Real;
    long long index = rowIndexOf(a);
    if (index >= a.rows) {
        return;
    }
    long long label = a.labels[index];
    bool ignored = isIgnored<Real>(a, index, label);
    if (ignored || isOutOfRange(a, label)) {
        if (threadIdx.x == 0) {
            writeUncounted<Real>(a, index, label, ignored);
        }
        return;
    }

    int column = columnOf(a, label);
    Row<Element, Divergence, true> row(a, index, Divergence::Reads);
    Walk<Element, Row<Element, Divergence, true>::N> walk = row.walk(0);
    bool allNear;
    ThreadRowState<Real> sums = sumRow<false, Element, Divergence, true>(row, walk, allNear);
    mergeBlock<Divergence, true>(sums, row.base2);
    __shared__ RowState state;
    __shared__ int doubtful;
    if (threadIdx.x < WarpSize) {
        int predicted = findLargest(row.policy, walk, sums.best, sums.place);
        if (threadIdx.x == 0) {
            double y = column < 0 ? 0.0 : static_cast<double>(row.policyAt(column));
            double referenceY = column < 0 || !Divergence::Reads ? 0.0 : static_cast<double>(row.referenceAt(column));
            state.predicted = a.firstColumn + predicted;
            summarize<Divergence>(state, a, sums, column >= 0, y, referenceY);
            addLabelReference<Real>(a, index, state, column >= 0);
            doubtful = isDoubtfulPart<Divergence, Real>(a, index, state);
        }
    }
    __syncthreads();
    if (doubtful) {
        Row<Element, Divergence, true> again(a, forget(index), Divergence::Reads);
        summarizeExactly<true>(state, again, column);
        __syncthreads();
    }
    writeState(a, index, state, threadIdx.x);
}
