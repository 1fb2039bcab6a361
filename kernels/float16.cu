// Every kernel for policy logits stored as float16, with arithmetic in float32.
#include "kernels.cuh"
constexpr int MostThreads = LongRowThreads;
KERNELS_OF(Float16)
CAPPED_KERNELS_OF(Float16)
