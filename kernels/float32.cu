// Every kernel for policy logits stored as float32, with arithmetic in float32.
#include "kernels.cuh"
constexpr int MostThreads = LongRowThreads;
KERNELS_OF(Float32)
CAPPED_KERNELS_OF(Float32)
