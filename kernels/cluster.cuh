// A cluster: blocks that run at the same time and reach each other's shared memory, from compute capability 9.0 on. Those of one share a row.
// CUDA C++ Programming Guide, "Thread Block Clusters" and "Distributed Shared Memory".
#pragma once
#include "row.cuh"

// Of kernels that serve clusters and nothing else.
#ifdef CLUSTERS
constexpr bool AreClusters = true;
#else
constexpr bool AreClusters = false;
#endif

// A barrier for all threads of a cluster, in two halves: what a thread did before it arrived, all see once they have waited.
__device__ __forceinline__ void arriveAtCluster() { asm volatile("barrier.cluster.arrive.aligned;" ::: "memory"); }
__device__ __forceinline__ void waitForCluster() { asm volatile("barrier.cluster.wait.aligned;" ::: "memory"); }

// The address of what lies in another block's shared memory where "own" lies in this one's.
template <typename T>
__device__ __forceinline__ unsigned addressInBlock(const T& own, unsigned rank) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(&own));
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(address), "r"(rank));
    return address;
}

__device__ __forceinline__ unsigned wordOfCluster(unsigned address) {
    unsigned word;
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(word) : "r"(address) : "memory");
    return word;
}

// What another block has there; a number of words.
template <typename T>
__device__ __forceinline__ T ofBlock(const T& own, unsigned rank) {
    constexpr int Words = sizeof(T) / sizeof(unsigned);
    unsigned address = addressInBlock(own, rank);
    unsigned words[Words];
#pragma unroll
    for (int i = 0; i < Words; i++) {
        words[i] = wordOfCluster(address + i * sizeof(unsigned));
    }
    T result;
    memcpy(&result, words, sizeof(T));
    return result;
}

// Takes over what another block has there, with all threads of the block, which have to meet after it.
template <typename T>
__device__ __forceinline__ void copyOfBlock(T& own, unsigned rank) {
    constexpr int Words = sizeof(T) / sizeof(unsigned);
    if (threadIdx.x < Words) {
        reinterpret_cast<unsigned*>(&own)[threadIdx.x] = wordOfCluster(addressInBlock(own, rank) + threadIdx.x * sizeof(unsigned));
    }
}
