// libcuda.so.1 for machines without a GPU. Each function of the driver jumps to what a process has put into the variable of its name with
// "asft_" before it: Asft.PtxVm.Driver.LibCuda puts the PTX virtual machine there. scripts/fake-libcuda.sh compiles it, against NVIDIA's
// cuda.h where that is: then a function whose parameters are not the driver's does not compile.
//
// One more function is one line here, and one method of LibCuda.
#include <stddef.h>
#include <stdint.h>
#if __has_include(<cuda.h>)
#include <cuda.h>
#else
#include "cuda-types.h"
#endif

#define FUNCTION(name, parameters, ...) \
  CUresult (*asft_##name) parameters;   \
  CUresult name parameters { return asft_##name ? asft_##name(__VA_ARGS__) : CUDA_ERROR_NOT_SUPPORTED; }

// A number of cuda.h, for LibCuda and for the tests of the binding's own numbers.
#define CONSTANT(name) const intptr_t asft_##name = (intptr_t)(name);

FUNCTION(cuInit, (unsigned int flags), flags)
FUNCTION(cuDriverGetVersion, (int *version), version)
FUNCTION(cuGetErrorName, (CUresult error, const char **text), error, text)
FUNCTION(cuGetErrorString, (CUresult error, const char **text), error, text)

FUNCTION(cuDeviceGetCount, (int *count), count)
FUNCTION(cuDeviceGet, (CUdevice *device, int ordinal), device, ordinal)
FUNCTION(cuDeviceGetName, (char *name, int bytes, CUdevice device), name, bytes, device)
FUNCTION(cuDeviceGetAttribute, (int *value, CUdevice_attribute attribute, CUdevice device), value, attribute, device)
FUNCTION(cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device), bytes, device)

FUNCTION(cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device), context, device)
FUNCTION(cuDevicePrimaryCtxRelease_v2, (CUdevice device), device)
FUNCTION(cuCtxCreate_v2, (CUcontext *context, unsigned int flags, CUdevice device), context, flags, device)
FUNCTION(cuCtxDestroy_v2, (CUcontext context), context)
FUNCTION(cuCtxPushCurrent_v2, (CUcontext context), context)
FUNCTION(cuCtxPopCurrent_v2, (CUcontext *context), context)
FUNCTION(cuCtxSetCurrent, (CUcontext context), context)
FUNCTION(cuCtxSynchronize, (void))
FUNCTION(cuCtxGetCacheConfig, (CUfunc_cache *config), config)
FUNCTION(cuCtxGetSharedMemConfig, (CUsharedconfig *config), config)

FUNCTION(cuModuleLoadData, (CUmodule *module, const void *image), module, image)
FUNCTION(cuModuleLoadDataEx, (CUmodule *module, const void *image, unsigned int count, CUjit_option *options, void **values), module, image, count, options, values)
FUNCTION(cuModuleUnload, (CUmodule module), module)
FUNCTION(cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name), function, module, name)
FUNCTION(cuLaunchKernel,
  (CUfunction function, unsigned int gridX, unsigned int gridY, unsigned int gridZ, unsigned int blockX, unsigned int blockY, unsigned int blockZ,
   unsigned int sharedBytes, CUstream stream, void **parameters, void **extra),
  function, gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, stream, parameters, extra)

FUNCTION(cuLaunchKernelEx, (const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra), config, function, parameters, extra)
FUNCTION(cuFuncSetAttribute, (CUfunction function, CUfunction_attribute attribute, int value), function, attribute, value)
FUNCTION(cuOccupancyMaxActiveClusters, (int *clusters, CUfunction function, const CUlaunchConfig *config), clusters, function, config)

FUNCTION(cuMemGetInfo_v2, (size_t *available, size_t *total), available, total)
FUNCTION(cuMemAlloc_v2, (CUdeviceptr *memory, size_t bytes), memory, bytes)
FUNCTION(cuMemAllocManaged, (CUdeviceptr *memory, size_t bytes, unsigned int flags), memory, bytes, flags)
FUNCTION(cuMemFree_v2, (CUdeviceptr memory), memory)
FUNCTION(cuMemHostAlloc, (void **memory, size_t bytes, unsigned int flags), memory, bytes, flags)
FUNCTION(cuMemAllocHost_v2, (void **memory, size_t bytes), memory, bytes)
FUNCTION(cuMemFreeHost, (void *memory), memory)
FUNCTION(cuMemHostGetDevicePointer_v2, (CUdeviceptr *address, void *memory, unsigned int flags), address, memory, flags)
FUNCTION(cuMemsetD8Async, (CUdeviceptr memory, unsigned char value, size_t bytes, CUstream stream), memory, value, bytes, stream)
FUNCTION(cuMemcpyAsync, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream), to, from, bytes, stream)
FUNCTION(cuMemcpyHtoD_v2, (CUdeviceptr to, const void *from, size_t bytes), to, from, bytes)
FUNCTION(cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream), to, from, bytes, stream)
FUNCTION(cuMemcpyDtoDAsync_v2, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream), to, from, bytes, stream)

FUNCTION(cuStreamCreate, (CUstream *stream, unsigned int flags), stream, flags)
FUNCTION(cuStreamDestroy_v2, (CUstream stream), stream)
FUNCTION(cuStreamSynchronize, (CUstream stream), stream)
FUNCTION(cuEventCreate, (CUevent *event, unsigned int flags), event, flags)
FUNCTION(cuEventDestroy_v2, (CUevent event), event)
FUNCTION(cuEventRecord, (CUevent event, CUstream stream), event, stream)
FUNCTION(cuEventSynchronize, (CUevent event), event)
FUNCTION(cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end), milliseconds, start, end)

// The layouts that the binding and LibCuda have of their own.
_Static_assert(sizeof(CUlaunchAttribute) == 72 && offsetof(CUlaunchAttribute, value) == 8, "layout");
_Static_assert(sizeof(CUlaunchConfig) == 56 && offsetof(CUlaunchConfig, hStream) == 32 && offsetof(CUlaunchConfig, attrs) == 40, "layout");

CONSTANT(CUDA_SUCCESS)
CONSTANT(CUDA_ERROR_INVALID_VALUE)
CONSTANT(CUDA_ERROR_OUT_OF_MEMORY)
CONSTANT(CUDA_ERROR_NOT_INITIALIZED)
CONSTANT(CUDA_ERROR_NO_DEVICE)
CONSTANT(CUDA_ERROR_INVALID_DEVICE)
CONSTANT(CUDA_ERROR_INVALID_CONTEXT)
CONSTANT(CUDA_ERROR_INVALID_PTX)
CONSTANT(CUDA_ERROR_INVALID_HANDLE)
CONSTANT(CUDA_ERROR_NOT_FOUND)
CONSTANT(CUDA_ERROR_ILLEGAL_ADDRESS)
CONSTANT(CUDA_ERROR_MISALIGNED_ADDRESS)
CONSTANT(CUDA_ERROR_LAUNCH_TIMEOUT)
CONSTANT(CUDA_ERROR_LAUNCH_FAILED)
CONSTANT(CUDA_ERROR_NOT_SUPPORTED)
CONSTANT(CUDA_ERROR_UNKNOWN)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
CONSTANT(CU_DEVICE_ATTRIBUTE_WARP_SIZE)
CONSTANT(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
CONSTANT(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)
CONSTANT(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
CONSTANT(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
CONSTANT(CU_JIT_INFO_LOG_BUFFER)
CONSTANT(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES)
CONSTANT(CU_JIT_ERROR_LOG_BUFFER)
CONSTANT(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
CONSTANT(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
CONSTANT(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED)
CONSTANT(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
CONSTANT(CU_LAUNCH_PARAM_END)
CONSTANT(CU_LAUNCH_PARAM_BUFFER_POINTER)
CONSTANT(CU_LAUNCH_PARAM_BUFFER_SIZE)
CONSTANT(CU_MEMHOSTALLOC_DEVICEMAP)
