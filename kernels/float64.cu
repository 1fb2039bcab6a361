// Every kernel for policy logits stored as float64, with arithmetic in float64. It is for checking, not for training: a block takes the
// registers of two, so that nothing spills.
#include "kernels.cuh"
constexpr int MostThreads = RowThreads;
KERNELS_OF(Float64)
