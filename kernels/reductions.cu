// What is added up over all tokens. One block, so that the order is fixed: the same input gives the same bits. A batch has few tokens
// next to its logits; each is read once.
#include "constants.cuh"

struct CountArguments {
    const long long* labels;
    long long rows;
    long long ignoreIndex;
    const double* denominator; // null for the number of counted tokens
    long long* counted;
    void* factor;
    int isMean;
    int isDouble; // type of the factor
};

struct TotalArguments {
    const void* losses;
    long long rows;
    const void* factor; // null for 1
    void* total;
    int isDouble; // type of the losses, the factor and the total
    int unused;
};

static_assert(sizeof(CountArguments) == 56 && sizeof(TotalArguments) == 40, "layout");

// The sum over the block, in the first thread: halves are added to halves.
template <typename Value>
__device__ Value blockSum(Value value) {
    __shared__ Value values[ReductionThreads];
    values[threadIdx.x] = value;
    __syncthreads();
    for (int half = ReductionThreads / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            values[threadIdx.x] += values[threadIdx.x + half];
        }
        __syncthreads();
    }
    return values[0];
}

__device__ double loadReal(const void* values, long long index, int isDouble) {
    return isDouble != 0 ? static_cast<const double*>(values)[index] : static_cast<const float*>(values)[index];
}

__device__ void storeReal(void* value, double stored, int isDouble) {
    if (isDouble != 0) {
        *static_cast<double*>(value) = stored;
    } else {
        *static_cast<float*>(value) = static_cast<float>(stored);
    }
}

// Counts the labels that are not ignored; the factor makes a sum over tokens the wanted reduction.
extern "C" __global__ void __launch_bounds__(ReductionThreads) count(const __grid_constant__ CountArguments a) {
    long long counted = 0;
    for (long long i = threadIdx.x; i < a.rows; i += ReductionThreads) {
        counted += a.labels[i] != a.ignoreIndex ? 1 : 0;
    }
    counted = blockSum(counted);
    if (threadIdx.x == 0) {
        double factor = 1;
        if (a.isMean != 0 && counted > 0) {
            double denominator = a.denominator != nullptr ? *a.denominator : static_cast<double>(counted);
            bool valid = denominator > 0 && denominator <= 1.7976931348623157e308;
            factor = valid ? 1 / denominator : __longlong_as_double(0x7FF8000000000000ll);
        }
        *a.counted = counted;
        storeReal(a.factor, factor, a.isDouble);
    }
}

// Adds up token losses in float64 and multiplies by the factor.
extern "C" __global__ void __launch_bounds__(ReductionThreads) total(const __grid_constant__ TotalArguments a) {
    double sum = 0;
    for (long long i = threadIdx.x; i < a.rows; i += ReductionThreads) {
        sum += loadReal(a.losses, i, a.isDouble);
    }
    sum = blockSum(sum);
    if (threadIdx.x == 0) {
        storeReal(a.total, a.factor == nullptr ? sum : sum * loadReal(a.factor, 0, a.isDouble), a.isDouble);
    }
}
