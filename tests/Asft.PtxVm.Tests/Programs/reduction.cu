// Sums of rows: one block a row, shuffles within a warp, shared memory between warps.
struct Arguments
{
    const float* values;
    float* sums;
    long long columns;
};

extern "C" __global__ void __launch_bounds__(256) row_sums(const Arguments a)
{
    __shared__ float partial[8];
    const float* row = a.values + blockIdx.x * a.columns;
    float sum = 0;
    for (long long i = threadIdx.x; i < a.columns; i += blockDim.x)
    {
        sum += row[i];
    }

    for (int offset = 16; offset > 0; offset /= 2)
    {
        sum += __shfl_xor_sync(0xFFFFFFFF, sum, offset);
    }

    if ((threadIdx.x & 31) == 0)
    {
        partial[threadIdx.x / 32] = sum;
    }

    __syncthreads();
    if (threadIdx.x == 0)
    {
        float total = 0;
        for (int warp = 0; warp < blockDim.x / 32; warp++)
        {
            total += partial[warp];
        }

        a.sums[blockIdx.x] = total;
    }
}
