// The one parameter of the kernels that work on rows, as the launch code fills it in: src/Asft.Kernels/Cuda/RowArguments.cs has the
// same layout, and a test holds the two together. Pointers that are null are results that nobody wants.
#pragma once
#include "constants.cuh"
#include "state.cuh"

// Rows of logits: row i begins at element offsets[i], or i*stride where offsets is null. All in 64 bits.
struct Matrix {
    unsigned char* data;
    long long stride;
    const long long* offsets;
    ElementType type;
    int unused;
};

// One element per row each; float32, or float64 where the logits are float64.
struct Outputs {
    void* loss;
    void* logProbability;
    void* weight;
    void* kl;
    void* logSumExp;
    void* referenceLogSumExp;
    void* referenceLogProbability;
    void* entropy; // this and the next follow from states alone: "finish" writes them
    void* squaredProbabilitySum;
    long long* predicted;
};

struct Objective {
    double weightExponent;
    double weightMin;
    double weightMax;
    double klWeight;
    double labelSmoothing;
    double logitScale;
    double softcap;
    double zLossWeight;
    double weightComplementExponent;
    double nllWeight;
    double entropyScale;
    long long ignoreIndex;
    TokenWeighting weighting;
    WeightBound weightBound;
    KlEstimator klEstimator;
    int mayWeighMuch; // whether factors above LargeFactor may follow from it
};

// A softcap in float32, see softcap.cuh.
struct Softcap {
    float unit; // logits are multiplied by it first
    float nearest; // up to where the curve near zero serves
    float exponent; // in base 2, of the other curve
    float slack; // that of Scaling for logits, as y rises no faster than inner*logit
    float curve[5]; // of the powers of the square, from 0 on
};

// z = factor*y, where y is the logit itself or, under a softcap, tanh(inner*logit). The loops work in base 2, on base2*y: base2 is
// factor*log2(e), rounded to the type of the arithmetic; the loops of float32 read the second copies.
struct Scaling {
    double factor;
    double base2;
    double inner;
    double slack; // in units of y: how far a logit may rise above the point that exponentials are measured from
    float base2Single;
    float slackSingle;
    Softcap softcap;
    float nearestLogit; // up to where a logit itself is near zero, for softcap.cuh; -1 where its unit is not 1
};

// Where the first label out of range is reported: page-locked memory of the host.
struct Fault {
    unsigned long long state; // 0 until there is one, then FaultClaimed, then FaultReported
    long long row;
    long long label;
    long long vocabulary;
};

// The most likely entries of the reference in each row; count is 0 where nothing is made of them.
struct TopKEntries {
    const long long* indices; // in the whole vocabulary, each once in a row
    const void* logProbabilities; // in nats
    int count;
    int isForward; // the direction of the divergence
};

struct RowArguments {
    long long rows;
    const long long* labels;
    Matrix logits;
    Matrix reference;
    Matrix gradient;
    double gradientScale;
    const void* upstream; // one factor for each row, or null for 1
    long long upstreamStride;
    const void* weights; // the caller's factor of each row's loss, or null for 1
    const void* givenWeights; // weights of the negative log-likelihood in place of the objective's, before its bounds; or null
    const void* labelLogProbabilities; // of the reference, one for each row, in place of its logits; or null
    TopKEntries topK; // in place of its logits
    const void* unlessOne; // a scalar: where it is 1, the kernel does nothing
    Outputs outputs; // of the loss; what was saved of it, for the gradient
    Objective objective;
    Scaling scaling;
    Fault* fault;
    void* partials; // for rows that several blocks share: their sums, parts to a row
    void* coefficients; // and the coefficients of the rows' gradients
    RowState* states; // one for each row, or null
    const RowState* others; // those that are merged into them
    long long firstColumn; // index in the whole vocabulary of the rows' first logit
    long long wholeVocabulary; // V, of which the rows may be a shard
    int vocabulary; // logits in a row
    int parts; // blocks that share a row
    int tilesPerPart; // of the walk through a row, see walk.cuh
    int keptTiles; // how many of these a block keeps in its shared memory, see walk.cuh
};

static_assert(sizeof(Matrix) == 32 && sizeof(Outputs) == 80 && sizeof(Objective) == 112 && sizeof(Scaling) == 80, "layout");
static_assert(sizeof(TopKEntries) == 24 && sizeof(Fault) == 32 && sizeof(RowArguments) == 536, "layout");

// Where a row begins, computed in 64 bits.
__device__ __forceinline__ unsigned char* rowOf(const Matrix& matrix, long long row, int bytes) {
    long long element = matrix.offsets != nullptr ? matrix.offsets[row] : row * matrix.stride;
    return matrix.data + element * bytes;
}
