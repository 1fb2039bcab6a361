// Every kernel for policy logits stored as bfloat16, with arithmetic in float32.
#include "kernels.cuh"
constexpr int MostThreads = 1024;
constexpr int MinFinishBlocks = 8;
KERNELS_OF(BFloat16)
