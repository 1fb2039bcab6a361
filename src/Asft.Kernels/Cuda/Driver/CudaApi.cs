using System.Runtime.InteropServices;

namespace Asft.Kernels.Cuda.Driver;

/// <summary>
/// The functions of the CUDA driver API that are used, by the names of <c>cuda.h</c> without their prefix; each returns a
/// <c>CUresult</c>, 0 for success. Filled from the driver's library, or by a test with functions of its own.
/// </summary>
/// <remarks>
/// Where the driver has several versions of a function, the one is taken that <c>cuda.h</c> maps the plain name to since CUDA 4; and
/// never the <c>_ptsz</c> variants, for which stream 0 would be a stream per thread and not the legacy default stream that torch uses.
/// </remarks>
internal sealed unsafe class CudaApi
{
    /// <summary><c>cuInit(flags)</c>.</summary>
    public required delegate* unmanaged<uint, int> Init { get; init; }

    /// <summary><c>cuDriverGetVersion(version)</c>: 1000 * major + 10 * minor of the newest CUDA that the driver knows.</summary>
    public required delegate* unmanaged<int*, int> DriverGetVersion { get; init; }

    /// <summary><c>cuDeviceGetCount(count)</c>.</summary>
    public required delegate* unmanaged<int*, int> DeviceGetCount { get; init; }

    /// <summary><c>cuDeviceGet(device, ordinal)</c>.</summary>
    public required delegate* unmanaged<int*, int, int> DeviceGet { get; init; }

    /// <summary><c>cuDeviceGetName(name, bytes, device)</c>.</summary>
    public required delegate* unmanaged<byte*, int, int, int> DeviceGetName { get; init; }

    /// <summary><c>cuDeviceGetAttribute(value, attribute, device)</c>; see <see cref="CudaConstants"/>.</summary>
    public required delegate* unmanaged<int*, int, int, int> DeviceGetAttribute { get; init; }

    /// <summary><c>cuDeviceTotalMem_v2(bytes, device)</c>.</summary>
    public required delegate* unmanaged<nuint*, int, int> DeviceTotalMem { get; init; }

    /// <summary><c>cuDevicePrimaryCtxRetain(context, device)</c>.</summary>
    public required delegate* unmanaged<nint*, int, int> DevicePrimaryCtxRetain { get; init; }

    /// <summary><c>cuCtxPushCurrent_v2(context)</c>.</summary>
    public required delegate* unmanaged<nint, int> CtxPushCurrent { get; init; }

    /// <summary><c>cuCtxPopCurrent_v2(context)</c>.</summary>
    public required delegate* unmanaged<nint*, int> CtxPopCurrent { get; init; }

    /// <summary><c>cuModuleLoadDataEx(module, image, options, option names, option values)</c>.</summary>
    public required delegate* unmanaged<nint*, byte*, uint, int*, void**, int> ModuleLoadDataEx { get; init; }

    /// <summary><c>cuModuleGetFunction(function, module, name)</c>.</summary>
    public required delegate* unmanaged<nint*, nint, byte*, int> ModuleGetFunction { get; init; }

    /// <summary>
    /// <c>cuLaunchKernel(function, grid x, y, z, block x, y, z, shared bytes, stream, parameters, extra)</c>.
    /// </summary>
    public required delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> LaunchKernel { get; init; }

    /// <summary><c>cuLaunchKernelEx(config, function, parameters, extra)</c>.</summary>
    public required delegate* unmanaged<CudaLaunchConfig*, nint, void**, void**, int> LaunchKernelEx { get; init; }

    /// <summary><c>cuFuncSetAttribute(function, attribute, value)</c>; see <see cref="CudaConstants"/>.</summary>
    public required delegate* unmanaged<nint, int, int, int> FuncSetAttribute { get; init; }

    /// <summary><c>cuOccupancyMaxActiveClusters(clusters, function, config)</c>.</summary>
    public required delegate* unmanaged<int*, nint, CudaLaunchConfig*, int> OccupancyMaxActiveClusters { get; init; }

    /// <summary><c>cuMemGetInfo_v2(free bytes, total bytes)</c>, of the current context's device.</summary>
    public required delegate* unmanaged<nuint*, nuint*, int> MemGetInfo { get; init; }

    /// <summary><c>cuMemAlloc_v2(address, bytes)</c>.</summary>
    public required delegate* unmanaged<void**, nuint, int> MemAlloc { get; init; }

    /// <summary><c>cuMemFree_v2(address)</c>.</summary>
    public required delegate* unmanaged<void*, int> MemFree { get; init; }

    /// <summary><c>cuMemHostAlloc(address, bytes, flags)</c>.</summary>
    public required delegate* unmanaged<void**, nuint, uint, int> MemHostAlloc { get; init; }

    /// <summary><c>cuMemFreeHost(address)</c>.</summary>
    public required delegate* unmanaged<void*, int> MemFreeHost { get; init; }

    /// <summary><c>cuStreamSynchronize(stream)</c>.</summary>
    public required delegate* unmanaged<nint, int> StreamSynchronize { get; init; }

    /// <summary><c>cuGetErrorName(result, text)</c>; the text belongs to the driver.</summary>
    public required delegate* unmanaged<int, byte**, int> GetErrorName { get; init; }

    /// <summary><c>cuGetErrorString(result, text)</c>; the text belongs to the driver.</summary>
    public required delegate* unmanaged<int, byte**, int> GetErrorString { get; init; }

    /// <summary>What the driver's library is called on this system; it comes with the display driver, not with a CUDA toolkit.</summary>
    public static string LibraryName => OperatingSystem.IsWindows() ? "nvcuda.dll" : "libcuda.so.1";

    /// <summary>Loads the driver's library.</summary>
    /// <returns>Its functions, or null where there is no such library.</returns>
    /// <exception cref="EntryPointNotFoundException">The library lacks a function: the driver is older than CUDA 11.8.</exception>
    public static CudaApi? TryLoad() => NativeLibrary.TryLoad(LibraryName, out nint library) ? FromLibrary(library) : null;

    private static CudaApi FromLibrary(nint library)
    {
        return new CudaApi
        {
            Init = (delegate* unmanaged<uint, int>)Find("cuInit"),
            DriverGetVersion = (delegate* unmanaged<int*, int>)Find("cuDriverGetVersion"),
            DeviceGetCount = (delegate* unmanaged<int*, int>)Find("cuDeviceGetCount"),
            DeviceGet = (delegate* unmanaged<int*, int, int>)Find("cuDeviceGet"),
            DeviceGetName = (delegate* unmanaged<byte*, int, int, int>)Find("cuDeviceGetName"),
            DeviceGetAttribute = (delegate* unmanaged<int*, int, int, int>)Find("cuDeviceGetAttribute"),
            DeviceTotalMem = (delegate* unmanaged<nuint*, int, int>)Find("cuDeviceTotalMem_v2"),
            DevicePrimaryCtxRetain = (delegate* unmanaged<nint*, int, int>)Find("cuDevicePrimaryCtxRetain"),
            CtxPushCurrent = (delegate* unmanaged<nint, int>)Find("cuCtxPushCurrent_v2"),
            CtxPopCurrent = (delegate* unmanaged<nint*, int>)Find("cuCtxPopCurrent_v2"),
            ModuleLoadDataEx = (delegate* unmanaged<nint*, byte*, uint, int*, void**, int>)Find("cuModuleLoadDataEx"),
            ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, int>)Find("cuModuleGetFunction"),
            LaunchKernel = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)Find("cuLaunchKernel"),
            LaunchKernelEx = (delegate* unmanaged<CudaLaunchConfig*, nint, void**, void**, int>)Find("cuLaunchKernelEx"),
            FuncSetAttribute = (delegate* unmanaged<nint, int, int, int>)Find("cuFuncSetAttribute"),
            OccupancyMaxActiveClusters = (delegate* unmanaged<int*, nint, CudaLaunchConfig*, int>)Find("cuOccupancyMaxActiveClusters"),
            MemGetInfo = (delegate* unmanaged<nuint*, nuint*, int>)Find("cuMemGetInfo_v2"),
            MemAlloc = (delegate* unmanaged<void**, nuint, int>)Find("cuMemAlloc_v2"),
            MemFree = (delegate* unmanaged<void*, int>)Find("cuMemFree_v2"),
            MemHostAlloc = (delegate* unmanaged<void**, nuint, uint, int>)Find("cuMemHostAlloc"),
            MemFreeHost = (delegate* unmanaged<void*, int>)Find("cuMemFreeHost"),
            StreamSynchronize = (delegate* unmanaged<nint, int>)Find("cuStreamSynchronize"),
            GetErrorName = (delegate* unmanaged<int, byte**, int>)Find("cuGetErrorName"),
            GetErrorString = (delegate* unmanaged<int, byte**, int>)Find("cuGetErrorString"),
        };

        nint Find(string name) => NativeLibrary.GetExport(library, name);
    }
}
