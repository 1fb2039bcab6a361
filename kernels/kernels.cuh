// The kernels of one storage type. Each takes RowArguments by value, and has in its name what it makes of the reference. The
// fast ones serve losses without softcap and without label smoothing, the capped ones those with a softcap and without label smoothing; the
// general ones decide on these at run time, the same way for every thread of a block. A file that includes this says how many threads a
// block may have, which limits their registers.
#pragma once
#include "complete.cuh"
#include "loss.cuh"

#define KERNEL(name, threads, blocks, ...) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ RowArguments a) { __VA_ARGS__(a); }

#define KERNELS_OF_REFERENCE(Element, name, Divergence) \
    KERNEL(loss_##name##_general, MostThreads, 1, lossKernel<Element, Divergence, true>) \
    KERNEL(combine_##name, CombineThreads, MostThreads / CombineThreads, combineRows<Element, Divergence>)

#define KERNELS_OF_SOFTCAP(Element, name, Divergence) \
    KERNEL(loss_##name##_capped, MostThreads, 1, lossKernel<Capped<Element>, Divergence, false>) \
    KERNEL(gradient_##name##_capped, MostThreads, 1, gradientKernel<Capped<Element>, Divergence, false>)

// What there is for clusters: the loss with its gradient.
#define CLUSTER_KERNELS_OF_REFERENCE(Element, name, Divergence) \
    KERNEL(loss_##name, MostThreads, 1, lossKernel<Element, Divergence, false>) \
    KERNEL(loss_##name##_general, MostThreads, 1, lossKernel<Element, Divergence, true>) \
    KERNEL(loss_##name##_capped, MostThreads, 1, lossKernel<Capped<Element>, Divergence, false>)

#define CLUSTER_KERNELS_OF(Element) \
    CLUSTER_KERNELS_OF_REFERENCE(Element, None, NoReference) \
    CLUSTER_KERNELS_OF_REFERENCE(Element, ForwardKl, ForwardKl) \
    CLUSTER_KERNELS_OF_REFERENCE(Element, ReverseKl, ReverseKl)

#define KERNELS_OF_DIVERGENCE(Element, name, Divergence) \
    KERNEL(loss_##name, MostThreads, 1, lossKernel<Element, Divergence, false>) \
    KERNEL(gradient_##name, MostThreads, 1, gradientKernel<Element, Divergence, false>) \
    KERNEL(gradient_##name##_general, MostThreads, 1, gradientKernel<Element, Divergence, true>) \
    KERNEL(summarize_##name, MostThreads, 1, summarizeKernel<Element, Divergence>)

#define KERNELS_OF(Element) \
    KERNELS_OF_REFERENCE(Element, None, NoReference) \
    KERNELS_OF_REFERENCE(Element, Sum, ReferenceSum) \
    KERNELS_OF_REFERENCE(Element, ForwardKl, ForwardKl) \
    KERNELS_OF_REFERENCE(Element, ReverseKl, ReverseKl) \
    KERNELS_OF_DIVERGENCE(Element, None, NoReference) \
    KERNELS_OF_DIVERGENCE(Element, ForwardKl, ForwardKl) \
    KERNELS_OF_DIVERGENCE(Element, ReverseKl, ReverseKl) \
    KERNEL(complete, RowThreads, MostThreads / RowThreads, completeKernel<Element>) \
    KERNEL(gradient_TopK, RowThreads, MostThreads / RowThreads, topKGradientKernel<Element>) \
    KERNEL(rescale, MostThreads, 1, rescaleKernel<Element>)

// In float32: the general kernels serve float64.
#define CAPPED_KERNELS_OF(Element) \
    KERNELS_OF_SOFTCAP(Element, None, NoReference) \
    KERNELS_OF_SOFTCAP(Element, ForwardKl, ForwardKl) \
    KERNELS_OF_SOFTCAP(Element, ReverseKl, ReverseKl)
