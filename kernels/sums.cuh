// What has been seen of a row so far: the online softmax with the cross term of the KL divergence (docs/design.md), in base 2.
//
// Exponentials are measured from a point that is close to the largest logit: 2^(base2*y - base(max)), one fused multiply-add and one
// instruction for the exponential. The point moves only when a logit rises far above it ("slack"), which few do after the first chunk,
// as long as no exponential can overflow; so the loop rarely rescales its sums.
//
// The fast loop has no guards. A logit of -inf or NaN, or a maximum that base 2 cannot hold (its base is NaN), shows in the chunk's cross
// term (or sum), which is then not finite, and the chunk is done again with care. What the sums cannot hold even so shows in a cross term
// or a distance that stays infinite or NaN: such a row is summed once more in float64, see exact.cuh.
#pragma once
#include "divergence.cuh"
#include "element.cuh"

constexpr int Nowhere = 0x7FFFFFFF;

template <typename Real>
struct ThreadRowState {
    Real max; // y that exponentials of the policy are measured from; -inf while none was above that
    Real sum; // sum of 2^(base2*y - base(max))
    Real referenceMax;
    Real referenceSum;
    Real cross; // the cross term: the sum of own probability * (own argument - other argument)
    Real distance; // with label smoothing: sum of the arguments of p above -inf
    Real best; // the largest logit of the policy
    int place; // and where it was seen first: its index or, in the body of the row, where its tile begins
    int unmasked; // with label smoothing: how many logits of the policy are above -inf
};

template <typename Real>
__device__ __forceinline__ ThreadRowState<Real> noSums() {
    ThreadRowState<Real> none;
    none.max = none.referenceMax = none.best = -infinity<Real>();
    none.sum = none.referenceSum = none.cross = none.distance = 0;
    none.unmasked = 0;
    none.place = Nowhere;
    return none;
}

constexpr int LargestBase = 1 << 24; // up to here all integers are numbers of float32
constexpr int NoMass = 1100; // 2^-NoMass is 0 even in float64

// The point in base 2 that belongs to y = max, rounded to an integer: then the factors between two points are powers of two, which cost
// no exponential and round nothing. What the rounding changes is made good once per row: see residueOf. Far from zero the
// rounding would be of the size of the arguments themselves: there is no base then, but NaN, and the point is y = max itself.
template <typename Real>
__device__ __forceinline__ Real baseOf(Real max, Real base2) {
    Real base = rint(max * base2);
    return fabs(base) <= Real(LargestBase) ? base : notANumber<Real>();
}

// By how much, in base 2, the point lies above y = max.
template <typename Result, typename Real>
__device__ __forceinline__ Result residueOf(Real max, Real base2) {
    Real base = baseOf(max, base2);
    return isFinite(base) ? fma(-static_cast<Result>(max), static_cast<Result>(base2), static_cast<Result>(base)) : Result(0);
}

// What changes when the point moves up: by how much, in base 2, and the factor of the sums.
template <typename Real>
struct Move {
    Real rise;
    Real scale;

    __device__ Move(Real from, Real to, Real base2) {
        Real a = rint(from * base2);
        Real b = rint(to * base2);
        rise = b - a;
        scale = powerOfTwo(-rise);
        if (max(fabs(a), fabs(b)) <= Real(LargestBase)) {
            return;
        }
        if (from == to) { // no difference of infinities may spoil it
            rise = 0;
            scale = 1;
        } else if (from == -infinity<Real>()) {
            rise = infinity<Real>();
            scale = 0;
        } else { // the logits are subtracted before they are scaled, so that nothing is lost that is as large as they are
            rise = (to - from) * base2 + (residueOf<Real>(to, base2) - residueOf<Real>(from, base2));
            scale = fast::exp2(-rise);
        }
    }
};

// The argument of an exponential with every guard: -inf stays -inf, and a point that base 2 cannot hold is subtracted before scaling.
template <typename Real>
__device__ __forceinline__ Real carefulArgument(Real y, Real max, Real base2) {
    Real base = baseOf(max, base2);
    return y == -infinity<Real>() ? y : isFinite(base) ? fma(y, base2, -base) : (y - max) * base2;
}

// The same sums, measured from other points.
template <typename Divergence, bool General, typename Real>
__device__ __forceinline__ void moveTo(ThreadRowState<Real>& sums, Real max, Real referenceMax, Real base2) {
    if (sums.max == -infinity<Real>() && (!Divergence::Reads || sums.referenceMax == -infinity<Real>())) {
        sums.max = max; // nothing to move
        sums.referenceMax = referenceMax;
        return;
    }
    // An empty sum stays empty wherever its point goes, and a term whose weight has become 0 is gone, even an infinite one. Where the
    // weight is 0 in float32 alone, the infinity becomes NaN, and float64 decides.
    Move<Real> move(sums.max, max, base2);
    if constexpr (Divergence::Reads) {
        Move<Real> referenceMove(sums.referenceMax, referenceMax, base2);
        if constexpr (Divergence::IsSummed) {
            const Move<Real>& ownMove = Divergence::weighing(move, referenceMove);
            Real mass = Divergence::weighing(sums.sum, sums.referenceSum);
            Real moved = mass == 0 ? Real(0) : mass * (Divergence::weighing(referenceMove, move).rise - ownMove.rise);
            sums.cross = ownMove.rise > NoMass ? Real(0) : (sums.cross + moved) * ownMove.scale;
        }
        sums.referenceSum = sums.referenceSum * referenceMove.scale;
        sums.referenceMax = referenceMax;
    }
    if constexpr (General) {
        sums.distance = sums.unmasked == 0 ? Real(0) : sums.distance - move.rise * static_cast<Real>(sums.unmasked);
    }
    sums.sum = sums.sum * move.scale;
    sums.max = max;
}

// Moves the point when something rises far above it.
template <typename Divergence, bool General, typename Real>
__device__ __forceinline__ bool raise(ThreadRowState<Real>& sums, Real largest, Real referenceLargest, Real base2, Real slack) {
    bool rises = largest - sums.max > slack;
    if constexpr (Divergence::Reads) {
        rises = rises || referenceLargest - sums.referenceMax > slack;
    }
    if (rises) {
        moveTo<Divergence, General>(sums, max(sums.max, largest), max(sums.referenceMax, referenceLargest), base2);
    }
    return rises;
}

// Adds a logit of each row, with every guard.
template <typename Divergence, bool General, typename Real>
__device__ __forceinline__ void addCarefully(ThreadRowState<Real>& sums, Real y, Real referenceY, Real base2) {
    Term<Real> p(carefulArgument(y, sums.max, base2));
    sums.sum += p.mass;
    if constexpr (General) {
        bool unmasked = y != -infinity<Real>();
        sums.distance += unmasked ? p.argument : Real(0);
        sums.unmasked += unmasked ? 1 : 0;
    }
    if constexpr (Divergence::Reads) {
        Term<Real> q(carefulArgument(referenceY, sums.referenceMax, base2));
        sums.referenceSum += q.mass;
        // What has no mass takes no part: a logit that both models mask contributes nothing.
        if constexpr (Divergence::IsSummed) {
            const Term<Real>& own = Divergence::weighing(p, q);
            sums.cross += own.argument > -NoMass ? own.mass * differenceOf<Divergence>(p, q) : Real(0);
        }
    }
}

// Adds N logits of each row without a guard, unless one was missing; then nothing is added. P and Q give the values y by their number.
// The bases are those of the sums, with the other sign.
template <typename Divergence, bool General, int N, typename Real, typename P, typename Q>
__device__ __forceinline__ bool addChunk(ThreadRowState<Real>& sums, P policy, Q reference, Real base2, Real base, Real referenceBase) {
    Real sum = 0;
    Real referenceSum = 0;
    Real cross = 0;
    Real distance = 0;
#pragma unroll
    for (int i = 0; i < N; i++) {
        Term<Real> p(fma(policy(i), base2, base));
        sum = i == 0 ? p.mass : sum + p.mass;
        if constexpr (General) {
            distance += p.argument;
        }
        if constexpr (Divergence::Reads) {
            Term<Real> q(fma(reference(i), base2, referenceBase));
            referenceSum = i == 0 ? q.mass : referenceSum + q.mass;
            if constexpr (Divergence::IsSummed) {
                Real mass = Divergence::weighing(p, q).mass;
                Real difference = differenceOf<Divergence>(p, q);
                cross = i == 0 ? mass * difference : fma(mass, difference, cross);
            }
        }
    }

    // A masked logit leaves no finite cross term. Where there is no such term, it leaves its sum without mass or without bounds, and the
    // sum of the arguments, where that is wanted, infinite.
    bool clean = Divergence::IsSummed ? isFinite(cross) : sum > 0 && isFinite(sum);
    if constexpr (Divergence::Reads && !Divergence::IsSummed) {
        clean = clean && referenceSum > 0 && isFinite(referenceSum);
    }
    if constexpr (General) {
        clean = clean && isFinite(distance);
    }
    if (clean) {
        sums.sum += sum;
        if constexpr (Divergence::Reads) {
            sums.referenceSum += referenceSum;
            sums.cross += cross;
        }
        if constexpr (General) {
            sums.distance += distance;
            sums.unmasked += N;
        }
    }
    return clean;
}

// The largest of a warp's values, none of which is NaN. As integers the bits of positive numbers are in order already, and those of
// negative ones are once all but the sign are turned over.
__device__ __forceinline__ int inOrder(int bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); }

__device__ __forceinline__ float warpMax(float value) {
    return __int_as_float(inOrder(__reduce_max_sync(FullWarp, inOrder(__float_as_int(value)))));
}

__device__ __forceinline__ double warpMax(double value) {
#pragma unroll
    for (int lane = WarpSize / 2; lane > 0; lane /= 2) {
        value = max(value, __shfl_xor_sync(FullWarp, value, lane));
    }
    return value;
}

// In a fixed order: every lane gets the same bits, every time.
template <typename Real>
__device__ __forceinline__ Real warpSum(Real value) {
#pragma unroll
    for (int lane = WarpSize / 2; lane > 0; lane /= 2) {
        value += __shfl_xor_sync(FullWarp, value, lane);
    }
    return value;
}

// The sums of a whole warp's lanes, in every lane.
template <typename Divergence, bool General, typename Real>
__device__ __forceinline__ void mergeWarp(ThreadRowState<Real>& sums, Real base2) {
    moveTo<Divergence, General>(sums, warpMax(sums.max), !Divergence::Reads ? sums.referenceMax : warpMax(sums.referenceMax), base2);
    sums.sum = warpSum(sums.sum);
    if constexpr (Divergence::Reads) {
        sums.referenceSum = warpSum(sums.referenceSum);
    }
    if constexpr (Divergence::IsSummed) {
        sums.cross = warpSum(sums.cross);
    }
    if constexpr (General) {
        sums.distance = warpSum(sums.distance);
        sums.unmasked = __reduce_add_sync(FullWarp, sums.unmasked);
    }
    Real best = warpMax(sums.best);
    sums.place = __reduce_min_sync(FullWarp, sums.best == best ? sums.place : Nowhere);
    sums.best = best;
}
