using System.Diagnostics;
using System.Runtime.InteropServices;
using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;

namespace Asft.PtxVm.Driver;

/// <summary>Modules, launches, streams and events.</summary>
internal static unsafe partial class LibCuda
{
    /// <summary>The streams that need no making: the legacy default stream by its two names, and the thread's own.</summary>
    private const nint LastDefaultStream = 2;

    /// <summary>The most blocks of a cluster without asking for more.</summary>
    private const int PortableCluster = 8;

    private static readonly Handles<Loaded> s_modules = new("module", 0x20_0000);
    private static readonly Handles<Loaded> s_functions = new("function", 0x30_0000);
    private static readonly Handles<Context> s_streams = new("stream", 0x40_0000);
    private static readonly Handles<Event> s_events = new("event", 0x50_0000);

    [UnmanagedCallersOnly(EntryPoint = "cuModuleLoadData")]
    private static int ModuleLoadData(nint* module, byte* image) => Call(() => *module = Load(image));

    [UnmanagedCallersOnly(EntryPoint = "cuModuleLoadDataEx")]
    private static int ModuleLoadDataEx(nint* module, byte* image, uint count, int* options, void** values) => Call(() =>
    {
        try
        {
            *module = Load(image);
        }
        catch (DriverException error)
        {
            var buffer = Option("CU_JIT_ERROR_LOG_BUFFER");
            var bytes = (int)(nint)Option("CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES");
            if (buffer != null && bytes > 0)
            {
                var text = System.Text.Encoding.UTF8.GetBytes(error.Message);
                var length = Math.Min(text.Length, bytes - 1);
                text.AsSpan(0, length).CopyTo(new Span<byte>(buffer, bytes));
                ((byte*)buffer)[length] = 0;
            }

            throw;
        }

        void* Option(string name)
        {
            var number = Constant(name);
            for (var i = 0; i < count; i++)
            {
                if (options[i] == number)
                {
                    return values[i];
                }
            }

            return null;
        }
    });

    [UnmanagedCallersOnly(EntryPoint = "cuModuleUnload")]
    private static int ModuleUnload(nint module) => Call(() => s_modules.Remove(module));

    [UnmanagedCallersOnly(EntryPoint = "cuModuleGetFunction")]
    private static int ModuleGetFunction(nint* function, nint module, byte* name) => Call(() =>
    {
        var loaded = Own(s_modules.Find(module));
        try
        {
            *function = s_functions.Add(new Loaded(loaded.Context, loaded.Context.Machine.GetFunction(loaded.Context.Ordinal, loaded.Handle, Marshal.PtrToStringUTF8((nint)name)!)));
        }
        catch (CudaException error)
        {
            throw new DriverException("CUDA_ERROR_NOT_FOUND", error.Message);
        }
    });

    [UnmanagedCallersOnly(EntryPoint = "cuLaunchKernel")]
    private static int LaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream, void** parameters, void** extra) => Call(() =>
    {
        var config = new CudaLaunchConfig
        {
            GridX = gridX,
            GridY = gridY,
            GridZ = gridZ,
            BlockX = blockX,
            BlockY = blockY,
            BlockZ = blockZ,
            SharedBytes = sharedBytes,
            Stream = stream,
        };
        Launch(function, config, parameters, extra);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuLaunchKernelEx")]
    private static int LaunchKernelEx(CudaLaunchConfig* config, nint function, void** parameters, void** extra) =>
        Call(() => Launch(function, *config, parameters, extra));

    [UnmanagedCallersOnly(EntryPoint = "cuFuncSetAttribute")]
    private static int FuncSetAttribute(nint function, int attribute, int value) => Call(() =>
    {
        var kernel = Own(s_functions.Find(function));
        if (attribute == Constant("CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"))
        {
            var most = kernel.Context.Device.Properties.SharedBytes;
            Require(value >= 0 && value <= most, "CUDA_ERROR_INVALID_VALUE", $"{value} bytes of shared memory on a device that has {most}");
            kernel.Allowed.SharedBytes = value;
        }
        else
        {
            Require(attribute == Constant("CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED"), "CUDA_ERROR_NOT_SUPPORTED", $"attribute {attribute}");
            kernel.Allowed.ClusterBlocks = value == 0 ? PortableCluster : int.MaxValue;
        }
    });

    [UnmanagedCallersOnly(EntryPoint = "cuOccupancyMaxActiveClusters")]
    private static int OccupancyMaxActiveClusters(int* clusters, nint function, CudaLaunchConfig* config) => Call(() =>
    {
        var kernel = Own(s_functions.Find(function));
        *clusters = kernel.Context.Machine.MostClusters(kernel.Context.Ordinal, LaunchOf(kernel, *config));
    });

    private static void Launch(nint function, in CudaLaunchConfig config, void** parameters, void** extra)
    {
        var kernel = Own(s_functions.Find(function));
        Require(parameters == null && extra != null, "CUDA_ERROR_NOT_SUPPORTED", "the virtual machine takes parameters in a buffer");
        var launch = LaunchOf(kernel, config);
        void* buffer = null;
        nuint bytes = 0;
        for (var i = 0; (nint)extra[i] != Constant("CU_LAUNCH_PARAM_END"); i += 2)
        {
            if ((nint)extra[i] == Constant("CU_LAUNCH_PARAM_BUFFER_POINTER"))
            {
                buffer = extra[i + 1];
            }
            else
            {
                Require((nint)extra[i] == Constant("CU_LAUNCH_PARAM_BUFFER_SIZE"), "CUDA_ERROR_INVALID_VALUE", $"{(nint)extra[i]} is no key of a launch");
                bytes = *(nuint*)extra[i + 1];
            }
        }

        kernel.Context.Machine.Launch(kernel.Context.Ordinal, launch, buffer, (int)bytes);
    }

    // What was not allowed beforehand is refused, as a driver does.
    private static CudaLaunch LaunchOf(Loaded kernel, in CudaLaunchConfig config)
    {
        Require(
            config.GridZ == 1 && config.BlockY == 1 && config.BlockZ == 1,
            "CUDA_ERROR_NOT_SUPPORTED",
            "the virtual machine launches blocks of one dimension in a grid of two");
        Require(
            config.SharedBytes <= kernel.Allowed.SharedBytes,
            "CUDA_ERROR_INVALID_VALUE",
            $"{config.SharedBytes} bytes of shared memory for a kernel that may have {kernel.Allowed.SharedBytes}");
        var cluster = 1u;
        for (var i = 0; i < config.AttributeCount; i++)
        {
            var attribute = config.Attributes[i];
            Require(
                attribute.Id == Constant("CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION") && attribute.ClusterX == 1 && attribute.ClusterZ == 1,
                "CUDA_ERROR_NOT_SUPPORTED",
                "the virtual machine has clusters along y, and no other attributes of a launch");
            cluster = attribute.ClusterY;
        }

        Require(
            cluster <= kernel.Allowed.ClusterBlocks,
            "CUDA_ERROR_INVALID_VALUE",
            $"a cluster of {cluster} blocks for a kernel that may have {kernel.Allowed.ClusterBlocks}");
        return new CudaLaunch(kernel.Handle, config.GridX, config.GridY, config.BlockX, CheckStream(config.Stream), config.SharedBytes, cluster);
    }

    [UnmanagedCallersOnly(EntryPoint = "cuStreamCreate")]
    private static int StreamCreate(nint* stream, uint flags) => Call(() => *stream = s_streams.Add(Current));

    [UnmanagedCallersOnly(EntryPoint = "cuStreamDestroy_v2")]
    private static int StreamDestroy(nint stream) => Call(() => s_streams.Remove(stream));

    [UnmanagedCallersOnly(EntryPoint = "cuStreamSynchronize")]
    private static int StreamSynchronize(nint stream) => Call(() => Current.Machine.Synchronize(Current.Ordinal, CheckStream(stream)));

    [UnmanagedCallersOnly(EntryPoint = "cuEventCreate")]
    private static int EventCreate(nint* @event, uint flags) => Call(() => *@event = s_events.Add(new Event()));

    [UnmanagedCallersOnly(EntryPoint = "cuEventDestroy_v2")]
    private static int EventDestroy(nint @event) => Call(() => s_events.Remove(@event));

    [UnmanagedCallersOnly(EntryPoint = "cuEventRecord")]
    private static int EventRecord(nint @event, nint stream) => Call(() =>
    {
        CheckStream(stream);
        s_events.Find(@event).Time = Stopwatch.GetTimestamp();
    });

    [UnmanagedCallersOnly(EntryPoint = "cuEventSynchronize")]
    private static int EventSynchronize(nint @event) => Call(() => s_events.Find(@event));

    [UnmanagedCallersOnly(EntryPoint = "cuEventElapsedTime")]
    private static int EventElapsedTime(float* milliseconds, nint start, nint end) => Call(() =>
    {
        var (from, to) = (s_events.Find(start).Time, s_events.Find(end).Time);
        Require(from != 0 && to != 0, "CUDA_ERROR_INVALID_HANDLE", "an event that was not recorded");
        *milliseconds = (float)Stopwatch.GetElapsedTime(from, to).TotalMilliseconds;
    });

    private static nint Load(byte* image)
    {
        var context = Current;
        try
        {
            return s_modules.Add(new Loaded(context, context.Machine.LoadModule(context.Ordinal, Marshal.PtrToStringUTF8((nint)image)!)));
        }
        catch (CudaException error)
        {
            throw new DriverException("CUDA_ERROR_INVALID_PTX", error.Message);
        }
    }

    /// <summary>What belongs to the calling thread's context.</summary>
    private static Loaded Own(Loaded loaded)
    {
        Require(ReferenceEquals(loaded.Context, Current), "CUDA_ERROR_INVALID_HANDLE", "a handle of another context");
        return loaded;
    }

    private static nint CheckStream(nint stream)
    {
        Require(
            stream is >= 0 and <= LastDefaultStream || ReferenceEquals(s_streams.Find(stream), Current),
            "CUDA_ERROR_INVALID_HANDLE",
            "a stream of another context");
        return stream;
    }

    /// <summary>A module or function of a context, and the machine's handle of it.</summary>
    private sealed record Loaded(Context Context, nint Handle)
    {
        public Allowance Allowed { get; } = new();
    }

    /// <summary>What launches of a function may ask for.</summary>
    private sealed class Allowance
    {
        public int SharedBytes { get; set; } = LibCuda.SharedBytes;

        public int ClusterBlocks { get; set; } = PortableCluster;
    }

    private sealed class Event
    {
        public long Time { get; set; }
    }
}
