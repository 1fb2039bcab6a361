using System.Runtime.InteropServices;
using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;

namespace Asft.GpuCheck;

/// <summary>
/// A device as a program needs it that measures: what the library's binding of the driver has no use for, in the same primary context.
/// </summary>
internal sealed unsafe class GpuDevice : IDisposable
{
    private const uint AttachGlobal = 1; // CU_MEM_ATTACH_GLOBAL

    private readonly CudaApi _api;
    private readonly PrimaryContext _context;
    private readonly int _handle;
    private readonly nint _start;
    private readonly nint _end;
    private readonly delegate* unmanaged<void**, nuint, uint, int> _allocateManaged;
    private readonly delegate* unmanaged<void*, void*, nuint, int> _copyToDevice;
    private readonly delegate* unmanaged<void*, void*, nuint, nint, int> _copyOnDevice;
    private readonly delegate* unmanaged<void*, byte, nuint, nint, int> _fill;
    private readonly delegate* unmanaged<nint, nint, int> _record;
    private readonly delegate* unmanaged<nint, int> _wait;
    private readonly delegate* unmanaged<float*, nint, nint, int> _elapsed;
    private readonly delegate* unmanaged<nint, int> _destroy;
    private readonly delegate* unmanaged<int, int> _release;

    /// <summary>Opens a device.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="device">One of its devices.</param>
    /// <exception cref="CudaException">The driver refuses.</exception>
    public GpuDevice(NativeCudaDriver driver, CudaDevice device)
    {
        Driver = driver;
        Device = device;
        _api = CudaApi.TryLoad()!;
        nint library = NativeLibrary.Load(CudaApi.LibraryName);
        int handle;
        Check(_api.DeviceGet(&handle, device.Ordinal), "cuDeviceGet");
        _handle = handle;
        _context = new PrimaryContext(_api, device.Ordinal, handle);
        _allocateManaged = (delegate* unmanaged<void**, nuint, uint, int>)NativeLibrary.GetExport(library, "cuMemAllocManaged");
        _copyToDevice = (delegate* unmanaged<void*, void*, nuint, int>)NativeLibrary.GetExport(library, "cuMemcpyHtoD_v2");
        _copyOnDevice = (delegate* unmanaged<void*, void*, nuint, nint, int>)NativeLibrary.GetExport(library, "cuMemcpyDtoDAsync_v2");
        _fill = (delegate* unmanaged<void*, byte, nuint, nint, int>)NativeLibrary.GetExport(library, "cuMemsetD8Async");
        _record = (delegate* unmanaged<nint, nint, int>)NativeLibrary.GetExport(library, "cuEventRecord");
        _wait = (delegate* unmanaged<nint, int>)NativeLibrary.GetExport(library, "cuEventSynchronize");
        _elapsed = (delegate* unmanaged<float*, nint, nint, int>)NativeLibrary.GetExport(library, "cuEventElapsedTime");
        _destroy = (delegate* unmanaged<nint, int>)NativeLibrary.GetExport(library, "cuEventDestroy_v2");
        _release = (delegate* unmanaged<int, int>)NativeLibrary.GetExport(library, "cuDevicePrimaryCtxRelease_v2");
        var create = (delegate* unmanaged<nint*, uint, int>)NativeLibrary.GetExport(library, "cuEventCreate");
        using PrimaryContext.Scope scope = _context.Enter();
        nint start;
        nint end;
        Check(create(&start, 0), "cuEventCreate");
        Check(create(&end, 0), "cuEventCreate");
        (_start, _end) = (start, end);
    }

    /// <summary>The driver.</summary>
    public NativeCudaDriver Driver { get; }

    /// <summary>The device's properties.</summary>
    public CudaDevice Device { get; }

    /// <summary>Its ordinal.</summary>
    public int Ordinal => Device.Ordinal;

    /// <summary>Free memory, in bytes.</summary>
    public long FreeMemory => Driver.FreeBytes(Ordinal);

    /// <summary>Allocates memory that host and device reach at the same address, and that moves to where it is used.</summary>
    /// <param name="bytes">How much.</param>
    /// <returns>Its address.</returns>
    public nint AllocateManaged(nuint bytes)
    {
        using PrimaryContext.Scope scope = _context.Enter();
        void* memory;
        Check(_allocateManaged(&memory, bytes, AttachGlobal), "cuMemAllocManaged");
        return (nint)memory;
    }

    /// <summary>Frees it.</summary>
    /// <param name="memory">Its address.</param>
    public void Free(nint memory) => Driver.Free(Ordinal, (void*)memory);

    /// <summary>Copies from host memory, and waits for it.</summary>
    public void CopyToDevice(void* to, void* from, long bytes)
    {
        using PrimaryContext.Scope scope = _context.Enter();
        Check(_copyToDevice(to, from, (nuint)bytes), "cuMemcpyHtoD");
    }

    /// <summary>Fills device memory with zeros, when the default stream gets there.</summary>
    public void Clear(void* memory, long bytes)
    {
        using PrimaryContext.Scope scope = _context.Enter();
        Check(_fill(memory, 0, (nuint)bytes, 0), "cuMemsetD8Async");
    }

    /// <summary>Copies on the device, when the default stream gets there.</summary>
    public void CopyOnDevice(void* to, void* from, long bytes)
    {
        using PrimaryContext.Scope scope = _context.Enter();
        Check(_copyOnDevice(to, from, (nuint)bytes, 0), "cuMemcpyDtoDAsync");
    }

    /// <summary>How long the default stream takes for something, in milliseconds: between two events on it.</summary>
    /// <param name="work">What puts the work on the stream.</param>
    /// <returns>The time.</returns>
    public double Time(Action work)
    {
        using PrimaryContext.Scope scope = _context.Enter();
        Check(_record(_start, 0), "cuEventRecord");
        work();
        Check(_record(_end, 0), "cuEventRecord");
        Check(_wait(_end), "cuEventSynchronize");
        float milliseconds;
        Check(_elapsed(&milliseconds, _start, _end), "cuEventElapsedTime");
        return milliseconds;
    }

    /// <summary>Waits for the default stream.</summary>
    /// <exception cref="CudaException">Something on it failed.</exception>
    public void Synchronize() => Driver.Synchronize(Ordinal, 0);

    /// <summary>Waits for what is under way, and gives back the events and the context.</summary>
    /// <exception cref="CudaException">Something that was under way failed.</exception>
    public void Dispose()
    {
        Synchronize();
        using (PrimaryContext.Scope scope = _context.Enter())
        {
            Check(_destroy(_start), "cuEventDestroy");
            Check(_destroy(_end), "cuEventDestroy");
        }

        Check(_release(_handle), "cuDevicePrimaryCtxRelease");
    }

    private void Check(int result, string function) => CudaErrors.Check(_api, result, $"{function} on cuda:{Device.Ordinal}");
}
