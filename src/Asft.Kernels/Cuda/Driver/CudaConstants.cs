namespace Asft.Kernels.Cuda.Driver;

/// <summary>Numbers of <c>cuda.h</c>.</summary>
internal static class CudaConstants
{
    /// <summary><c>CUDA_SUCCESS</c>.</summary>
    public const int Success = 0;

    /// <summary><c>CUDA_ERROR_NO_DEVICE</c>.</summary>
    public const int NoDevice = 100;

    /// <summary><c>CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT</c>.</summary>
    public const int MultiprocessorCount = 16;

    /// <summary><c>CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR</c>.</summary>
    public const int ComputeCapabilityMajor = 75;

    /// <summary><c>CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR</c>.</summary>
    public const int ComputeCapabilityMinor = 76;

    /// <summary><c>CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN</c>.</summary>
    public const int MaxSharedMemoryPerBlockOptin = 97;

    /// <summary><c>CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES</c>.</summary>
    public const int MaxDynamicSharedSizeBytes = 8;

    /// <summary><c>CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED</c>.</summary>
    public const int NonPortableClusterSizeAllowed = 14;

    /// <summary><c>CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION</c>.</summary>
    public const int LaunchAttributeClusterDimension = 4;

    /// <summary><c>CU_JIT_INFO_LOG_BUFFER</c>: where the compiler writes its remarks.</summary>
    public const int JitInfoLog = 3;

    /// <summary><c>CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES</c>.</summary>
    public const int JitInfoLogBytes = 4;

    /// <summary><c>CU_JIT_ERROR_LOG_BUFFER</c>: where the compiler writes its errors.</summary>
    public const int JitErrorLog = 5;

    /// <summary><c>CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES</c>.</summary>
    public const int JitErrorLogBytes = 6;

    /// <summary>
    /// <c>CU_MEMHOSTALLOC_DEVICEMAP</c>: kernels may use the memory, with unified addressing at the host's address. Every device that runs
    /// the kernels, on a 64-bit system, has unified addressing.
    /// </summary>
    public const uint HostAllocDeviceMap = 2;

    /// <summary><c>CU_LAUNCH_PARAM_END</c>.</summary>
    public const nint LaunchParameterEnd = 0;

    /// <summary><c>CU_LAUNCH_PARAM_BUFFER_POINTER</c>.</summary>
    public const nint LaunchParameterBuffer = 1;

    /// <summary><c>CU_LAUNCH_PARAM_BUFFER_SIZE</c>.</summary>
    public const nint LaunchParameterBytes = 2;
}
