// Every kernel for policy logits stored as bfloat16, with arithmetic in float32.
#include "kernels.cuh"
constexpr int MostThreads = LongRowThreads;
KERNELS_OF(BFloat16)
CAPPED_KERNELS_OF(BFloat16)
