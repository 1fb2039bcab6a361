using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Asft.Kernels.Cuda.Driver;

/// <summary>
/// The CUDA driver of this machine. It works in the primary context of each device, where torch's tensors live, and numbers the
/// devices as torch does: both leave out and order what <c>CUDA_VISIBLE_DEVICES</c> says.
/// </summary>
/// <remarks>
/// A machine without a driver, or whose driver does not start, is a machine without devices: <see cref="Devices"/> is empty and
/// <see cref="Unavailable"/> says why. Nothing throws for that.
/// </remarks>
internal sealed unsafe class NativeCudaDriver : ICudaDriver
{
    private const int NameBytes = 256;
    private const int LogBytes = 16 << 10;

    private static readonly Lazy<NativeCudaDriver> s_instance = new(Load);

    private readonly ConcurrentDictionary<(nint Function, int Attribute), int> _allowed = new();
    private readonly CudaApi? _api;
    private readonly ImmutableArray<CudaDevice> _devices = [];
    private readonly ImmutableArray<PrimaryContext> _contexts = [];

    /// <summary>Starts a driver.</summary>
    /// <param name="api">Its functions; null where there is none.</param>
    internal NativeCudaDriver(CudaApi? api)
    {
        if (api is null)
        {
            Unavailable = $"there is no {CudaApi.LibraryName}";
            return;
        }

        int result = api.Init(0);
        if (result != CudaConstants.Success)
        {
            Unavailable = result == CudaConstants.NoDevice
                ? "the CUDA driver finds no device"
                : $"the CUDA driver does not start: {CudaErrors.Describe(api, result)}";
            return;
        }

        _api = api;
        int version;
        Check(api.DriverGetVersion(&version), $"Asking for the driver's version");
        Name = Invariant($"CUDA driver {version / 1000}.{version % 1000 / 10}");
        int count;
        Check(api.DeviceGetCount(&count), $"Counting CUDA devices");
        Unavailable = count == 0 ? "the CUDA driver finds no device" : null;
        for (int ordinal = 0; ordinal < count; ordinal++)
        {
            int handle;
            Check(api.DeviceGet(&handle, ordinal), $"Opening cuda:{ordinal}");
            _devices = _devices.Add(Describe(handle, ordinal));
            _contexts = _contexts.Add(new PrimaryContext(api, ordinal, handle));
        }
    }

    /// <summary>The driver of this machine; looked for when first asked for.</summary>
    public static NativeCudaDriver Instance => s_instance.Value;

    /// <summary>Why there are no devices; null if there are.</summary>
    public string? Unavailable { get; }

    /// <inheritdoc/>
    public string Name { get; } = "no CUDA driver";

    /// <inheritdoc/>
    public IReadOnlyList<CudaDevice> Devices => _devices;

    /// <inheritdoc/>
    public nint LoadModule(int device, string ptx)
    {
        using PrimaryContext.Scope scope = Enter(device);
        byte[] log = new byte[LogBytes];
        byte[] remarks = new byte[LogBytes];
        fixed (byte* image = Terminated(ptx), errors = log, info = remarks)
        {
            int* names = stackalloc int[]
            {
                CudaConstants.JitErrorLog, CudaConstants.JitErrorLogBytes, CudaConstants.JitInfoLog, CudaConstants.JitInfoLogBytes,
            };
            void** values = stackalloc void*[] { errors, (void*)LogBytes, info, (void*)LogBytes };
            nint module;
            int result = _api!.ModuleLoadDataEx(&module, image, 4, names, values);
            if (result != CudaConstants.Success)
            {
                throw new CudaException(
                    Invariant($"Loading PTX on cuda:{device}: {CudaErrors.Describe(_api, result)}.{LogText(log)}{LogText(remarks)}"));
            }

            return module;
        }
    }

    /// <inheritdoc/>
    public nint GetFunction(int device, nint moduleHandle, string name)
    {
        using PrimaryContext.Scope scope = Enter(device);
        fixed (byte* text = Terminated(name))
        {
            nint function;
            Check(_api!.ModuleGetFunction(&function, moduleHandle, text), $"Finding the kernel {name} on cuda:{device}");
            return function;
        }
    }

    /// <inheritdoc/>
    public void Launch(int device, in CudaLaunch launch, void* parameter, int parameterBytes)
    {
        using PrimaryContext.Scope scope = Enter(device);

        // A buffer rather than a list of pointers: the driver then checks that its size is what the kernel expects.
        nuint bytes = (nuint)parameterBytes;
        void** extra = stackalloc void*[]
        {
            (void*)CudaConstants.LaunchParameterBuffer, parameter,
            (void*)CudaConstants.LaunchParameterBytes, &bytes,
            (void*)CudaConstants.LaunchParameterEnd,
        };
        Prepare(device, launch);
        int result;
        if (launch.ClusterY == 1)
        {
            result = _api!.LaunchKernel(
                launch.Function, launch.GridX, launch.GridY, 1, launch.BlockX, 1, 1, launch.SharedBytes, launch.Stream, null, extra);
        }
        else
        {
            CudaLaunchAttribute cluster;
            CudaLaunchConfig config = Config(launch, &cluster);
            result = _api!.LaunchKernelEx(&config, launch.Function, null, extra);
        }

        Check(
            result,
            $"Launching a kernel on cuda:{device} (grid {launch.GridX} x {launch.GridY}, clusters of {launch.ClusterY}, block {launch.BlockX}, "
            + $"{launch.SharedBytes} bytes of shared memory, {parameterBytes} bytes of parameters)");
    }

    /// <inheritdoc/>
    public int MostClusters(int device, in CudaLaunch launch)
    {
        using PrimaryContext.Scope scope = Enter(device);
        Prepare(device, launch);
        CudaLaunchAttribute cluster;
        CudaLaunchConfig config = Config(launch, &cluster);
        int clusters;
        Check(
            _api!.OccupancyMaxActiveClusters(&clusters, launch.Function, &config),
            $"Asking how many clusters of {launch.ClusterY} blocks cuda:{device} runs at the same time");
        return clusters;
    }

    /// <summary>Bytes that nobody has allocated on a device now, this process or another.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <exception cref="CudaException">There is no such device, or an earlier launch on it failed.</exception>
    public long FreeBytes(int device)
    {
        using PrimaryContext.Scope scope = Enter(device);
        nuint free;
        nuint total;
        Check(_api!.MemGetInfo(&free, &total), $"Asking for the free memory of cuda:{device}");
        return (long)free;
    }

    /// <inheritdoc/>
    public void* Allocate(int device, long bytes)
    {
        using PrimaryContext.Scope scope = Enter(device);
        void* memory;
        Check(_api!.MemAlloc(&memory, (nuint)bytes), $"Allocating {bytes} bytes on cuda:{device}");
        return memory;
    }

    /// <inheritdoc/>
    public void Free(int device, void* memory)
    {
        using PrimaryContext.Scope scope = Enter(device);
        Check(_api!.MemFree(memory), $"Freeing memory of cuda:{device}");
    }

    /// <inheritdoc/>
    public void* AllocateHost(int device, long bytes)
    {
        using PrimaryContext.Scope scope = Enter(device);
        void* memory;
        Check(_api!.MemHostAlloc(&memory, (nuint)bytes, CudaConstants.HostAllocDeviceMap), $"Allocating {bytes} bytes of page-locked memory for cuda:{device}");
        NativeMemory.Clear(memory, (nuint)bytes);
        return memory;
    }

    /// <inheritdoc/>
    public void FreeHost(int device, void* memory)
    {
        using PrimaryContext.Scope scope = Enter(device);
        Check(_api!.MemFreeHost(memory), $"Freeing page-locked memory of cuda:{device}");
    }

    /// <inheritdoc/>
    public void Synchronize(int device, nint stream)
    {
        using PrimaryContext.Scope scope = Enter(device);
        Check(_api!.StreamSynchronize(stream), $"Waiting for cuda:{device}");
    }

    private static CudaLaunchConfig Config(in CudaLaunch launch, CudaLaunchAttribute* cluster)
    {
        *cluster = new CudaLaunchAttribute
        {
            Id = CudaConstants.LaunchAttributeClusterDimension,
            ClusterX = 1,
            ClusterY = launch.ClusterY,
            ClusterZ = 1,
        };
        return new CudaLaunchConfig
        {
            GridX = launch.GridX,
            GridY = launch.GridY,
            GridZ = 1,
            BlockX = launch.BlockX,
            BlockY = 1,
            BlockZ = 1,
            SharedBytes = launch.SharedBytes,
            Stream = launch.Stream,
            Attributes = cluster,
            AttributeCount = 1,
        };
    }

    /// <summary>Allows a kernel what a launch asks of it, where the driver does not give that to every kernel; once, as it stays allowed.</summary>
    private void Prepare(int device, in CudaLaunch launch)
    {
        Allow(launch.Function, CudaConstants.MaxDynamicSharedSizeBytes, (int)launch.SharedBytes);
        Allow(launch.Function, CudaConstants.NonPortableClusterSizeAllowed, launch.ClusterY > CudaLaunch.PortableCluster ? 1 : 0);

        void Allow(nint function, int attribute, int value)
        {
            if (value <= _allowed.GetValueOrDefault((function, attribute)))
            {
                return;
            }

            Check(_api!.FuncSetAttribute(function, attribute, value), $"Setting attribute {attribute} of a kernel on cuda:{device} to {value}");
            _allowed[(function, attribute)] = value;
        }
    }

    private static NativeCudaDriver Load()
    {
        try
        {
            return new NativeCudaDriver(CudaApi.TryLoad());
        }
        catch (Exception error) when (error is EntryPointNotFoundException or CudaException)
        {
            return new NativeCudaDriver(error.Message);
        }
    }

    private NativeCudaDriver(string unavailable) => Unavailable = unavailable;

    private CudaDevice Describe(int handle, int ordinal)
    {
        byte* name = stackalloc byte[NameBytes];
        nuint memory;
        Check(_api!.DeviceGetName(name, NameBytes, handle), $"Asking for the name of cuda:{ordinal}");
        Check(_api.DeviceTotalMem(&memory, handle), $"Asking for the memory of cuda:{ordinal}");
        return new CudaDevice(
            ordinal,
            Marshal.PtrToStringUTF8((nint)name)!,
            Attribute(CudaConstants.ComputeCapabilityMajor),
            Attribute(CudaConstants.ComputeCapabilityMinor),
            Attribute(CudaConstants.MultiprocessorCount),
            (long)memory,
            Attribute(CudaConstants.MaxSharedMemoryPerBlockOptin));

        int Attribute(int attribute)
        {
            int value;
            Check(_api.DeviceGetAttribute(&value, attribute, handle), $"Asking for attribute {attribute} of cuda:{ordinal}");
            return value;
        }
    }

    private PrimaryContext.Scope Enter(int device) => (uint)device < (uint)_contexts.Length
        ? _contexts[device].Enter()
        : throw new CudaException(Invariant($"There is no device cuda:{device}: {Unavailable ?? $"the driver has {_contexts.Length}"}."));

    private void Check(int result, [InterpolatedStringHandlerArgument(nameof(result))] ref FailureText tried) =>
        CudaErrors.Check(_api!, result, ref tried);

    private static byte[] Terminated(string text) => Encoding.UTF8.GetBytes(text + '\0');

    private static string LogText(byte[] log)
    {
        string text = Encoding.UTF8.GetString(log.AsSpan(0, Math.Max(0, log.AsSpan().IndexOf((byte)0)))).Trim();
        return text.Length == 0 ? string.Empty : Environment.NewLine + text;
    }
}
