// The kernels of one storage type. Each takes RowArguments by value, and has in its name what it makes of the reference (ReferenceUse). The
// fast ones serve a reference of the same type, without softcap and without label smoothing; the general ones decide on these at run time,
// the same way for every thread of a block. A file that includes this says how many threads a block may have, which limits their registers.
#pragma once
#include "loss.cuh"

#define KERNEL(name, threads, blocks, ...) \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ RowArguments a) { __VA_ARGS__(a); }

#define KERNELS_OF_USE(Element, Use) \
    KERNEL(loss_##Use##_general, MostThreads, 1, lossKernel<Element, ReferenceUse::Use, true>) \
    KERNEL(combine_##Use, CombineThreads, MostThreads / CombineThreads, combineRows<Element, ReferenceUse::Use>)

#define KERNELS_OF_DIVERGENCE(Element, Use) \
    KERNEL(loss_##Use, MostThreads, 1, lossKernel<Element, ReferenceUse::Use, false>) \
    KERNEL(gradient_##Use, MostThreads, 1, gradientKernel<Element, ReferenceUse::Use, false>) \
    KERNEL(gradient_##Use##_general, MostThreads, 1, gradientKernel<Element, ReferenceUse::Use, true>) \
    KERNEL(summarize_##Use, MostThreads, 1, summarizeKernel<Element, ReferenceUse::Use>)

#define KERNELS_OF(Element) \
    KERNELS_OF_USE(Element, None) \
    KERNELS_OF_USE(Element, Sum) \
    KERNELS_OF_USE(Element, ForwardKl) \
    KERNELS_OF_USE(Element, ReverseKl) \
    KERNELS_OF_DIVERGENCE(Element, None) \
    KERNELS_OF_DIVERGENCE(Element, ForwardKl) \
    KERNELS_OF_DIVERGENCE(Element, ReverseKl) \
    KERNEL(rescale, MostThreads, 1, rescaleKernel<Element>)
