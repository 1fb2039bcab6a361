// The kernels of one storage type. Each takes RowArguments by value. The fast ones serve a reference of the same type, without softcap
// and without label smoothing; the general ones decide on these at run time, the same way for every thread of a block. A file that
// includes this says how many threads a block may have, which limits their registers, and how many blocks of finish a multiprocessor is
// to hold.
#pragma once
#include "loss.cuh"

#define ROW_KERNEL(name) \
    extern "C" __global__ void __launch_bounds__(MostThreads, 1) name(const __grid_constant__ RowArguments a)

#define KERNELS_OF(Element) \
    ROW_KERNEL(loss) { lossKernel<Element, NoReference, false>(a); } \
    ROW_KERNEL(loss_forward) { lossKernel<Element, ForwardKl, false>(a); } \
    ROW_KERNEL(loss_reverse) { lossKernel<Element, ReverseKl, false>(a); } \
    ROW_KERNEL(loss_general) { lossKernel<Element, NoReference, true>(a); } \
    ROW_KERNEL(loss_ratio_general) { lossKernel<Element, ReferenceSum, true>(a); } \
    ROW_KERNEL(loss_forward_general) { lossKernel<Element, ForwardKl, true>(a); } \
    ROW_KERNEL(loss_reverse_general) { lossKernel<Element, ReverseKl, true>(a); } \
    ROW_KERNEL(gradient) { gradientKernel<Element, NoReference, false>(a); } \
    ROW_KERNEL(gradient_ratio) { gradientKernel<Element, ReferenceSum, false>(a); } \
    ROW_KERNEL(gradient_forward) { gradientKernel<Element, ForwardKl, false>(a); } \
    ROW_KERNEL(gradient_reverse) { gradientKernel<Element, ReverseKl, false>(a); } \
    ROW_KERNEL(gradient_general) { gradientKernel<Element, NoReference, true>(a); } \
    ROW_KERNEL(gradient_ratio_general) { gradientKernel<Element, ReferenceSum, true>(a); } \
    ROW_KERNEL(gradient_forward_general) { gradientKernel<Element, ForwardKl, true>(a); } \
    ROW_KERNEL(gradient_reverse_general) { gradientKernel<Element, ReverseKl, true>(a); } \
    ROW_KERNEL(restore) { restoreKernel<Element, NoReference>(a); } \
    ROW_KERNEL(restore_ratio) { restoreKernel<Element, ReferenceSum>(a); } \
    ROW_KERNEL(restore_forward) { restoreKernel<Element, ForwardKl>(a); } \
    ROW_KERNEL(restore_reverse) { restoreKernel<Element, ReverseKl>(a); } \
    ROW_KERNEL(rescale) { rescaleKernel<Element>(a); } \
    FINISH_KERNEL(finish, Element, NoReference) \
    FINISH_KERNEL(finish_ratio, Element, ReferenceSum) \
    FINISH_KERNEL(finish_forward, Element, ForwardKl) \
    FINISH_KERNEL(finish_reverse, Element, ReverseKl)

#define FINISH_KERNEL(name, Element, Mode) \
    extern "C" __global__ void __launch_bounds__(FinishThreads, MinFinishBlocks) name(const __grid_constant__ RowArguments a) { \
        finishRows<Element, Mode>(a); \
    }
