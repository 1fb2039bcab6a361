// The kernels for policy logits stored as float16 whose rows the blocks of a cluster share.
#define CLUSTERS
#include "kernels.cuh"
constexpr int MostThreads = LongRowThreads;
CLUSTER_KERNELS_OF(Float16)
