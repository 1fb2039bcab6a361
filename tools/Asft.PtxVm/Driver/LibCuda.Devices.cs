using System.Runtime.InteropServices;
using System.Text;

namespace Asft.PtxVm.Driver;

/// <summary>Devices and contexts.</summary>
internal static unsafe partial class LibCuda
{
    /// <summary>Handles of devices are these numbers above their ordinals, so that the two cannot be taken for each other.</summary>
    private const int FirstDevice = 40;

    /// <summary>CUDA 12.4.</summary>
    private const int Version = 12040;

    private const int WarpSize = 32;
    private const int ThreadsOfBlock = 1024;
    private const int ThreadsOfMultiprocessor = 2048;
    private const int LargestBlockZ = 64;
    private const int SharedBytes = 48 << 10; // without asking for more

    private static readonly Handles<Context> s_contexts = new("context", 0x10_0000);

    [ThreadStatic]
    private static Stack<nint>? s_stack;

    private static Stack<nint> Stack => s_stack ??= [];

    /// <summary>The calling thread's context.</summary>
    private static Context Current => Stack.TryPeek(out var handle) && handle != 0
        ? s_contexts.Find(handle)
        : throw new DriverException("CUDA_ERROR_INVALID_CONTEXT", "the thread has no context");

    [UnmanagedCallersOnly(EntryPoint = "cuInit")]
    private static int Init(uint flags)
    {
        s_initialized = true;
        return Call(() => Require(flags == 0, "CUDA_ERROR_INVALID_VALUE", "flags must be 0"));
    }

    [UnmanagedCallersOnly(EntryPoint = "cuDriverGetVersion")]
    private static int DriverGetVersion(int* version)
    {
        *version = Version;
        return 0;
    }

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetCount")]
    private static int DeviceGetCount(int* count) => Call(() =>
    {
        lock (s_devices)
        {
            *count = s_devices.Count;
        }
    });

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGet")]
    private static int DeviceGet(int* device, int ordinal) => Call(() =>
    {
        DeviceOf(ordinal + FirstDevice);
        *device = ordinal + FirstDevice;
    });

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetName")]
    private static int DeviceGetName(byte* name, int bytes, int device) => Call(() =>
    {
        var text = Encoding.UTF8.GetBytes(DeviceOf(device).Properties.Name);
        var count = Math.Min(text.Length, bytes - 1);
        text.AsSpan(0, count).CopyTo(new Span<byte>(name, bytes));
        name[count] = 0;
    });

    /// <summary>What the machine has not, such as clocks, is 0.</summary>
    [UnmanagedCallersOnly(EntryPoint = "cuDeviceGetAttribute")]
    private static int DeviceGetAttribute(int* value, int attribute, int device) => Call(() =>
    {
        var properties = DeviceOf(device).Properties;
        (string Name, int Value)[] known =
        [
            ("MAX_THREADS_PER_BLOCK", ThreadsOfBlock),
            ("MAX_BLOCK_DIM_X", ThreadsOfBlock),
            ("MAX_BLOCK_DIM_Y", ThreadsOfBlock),
            ("MAX_BLOCK_DIM_Z", LargestBlockZ),
            ("MAX_GRID_DIM_X", int.MaxValue),
            ("MAX_GRID_DIM_Y", ushort.MaxValue),
            ("MAX_GRID_DIM_Z", ushort.MaxValue),
            ("MAX_SHARED_MEMORY_PER_BLOCK", SharedBytes),
            ("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN", properties.SharedBytes),
            ("WARP_SIZE", WarpSize),
            ("MULTIPROCESSOR_COUNT", properties.Multiprocessors),
            ("MAX_THREADS_PER_MULTIPROCESSOR", ThreadsOfMultiprocessor),
            ("COMPUTE_CAPABILITY_MAJOR", properties.Major),
            ("COMPUTE_CAPABILITY_MINOR", properties.Minor),
        ];
        *value = known.FirstOrDefault(entry => Constant("CU_DEVICE_ATTRIBUTE_" + entry.Name) == attribute).Value;
    });

    [UnmanagedCallersOnly(EntryPoint = "cuDeviceTotalMem_v2")]
    private static int DeviceTotalMem(nuint* bytes, int device) => Call(() => *bytes = (nuint)DeviceOf(device).Properties.MemoryBytes);

    [UnmanagedCallersOnly(EntryPoint = "cuDevicePrimaryCtxRetain")]
    private static int DevicePrimaryCtxRetain(nint* context, int device) => Call(() =>
    {
        var of = DeviceOf(device);
        lock (of)
        {
            of.Primary = of.Primary == 0 ? s_contexts.Add(new Context(of)) : of.Primary;
            *context = of.Primary;
        }
    });

    /// <summary>The context stays, for whoever else retained it.</summary>
    [UnmanagedCallersOnly(EntryPoint = "cuDevicePrimaryCtxRelease_v2")]
    private static int DevicePrimaryCtxRelease(int device) => Call(() =>
        Require(DeviceOf(device).Primary != 0, "CUDA_ERROR_INVALID_CONTEXT", "nobody retained the primary context"));

    [UnmanagedCallersOnly(EntryPoint = "cuCtxCreate_v2")]
    private static int CtxCreate(nint* context, uint flags, int device) => Call(() =>
    {
        *context = s_contexts.Add(new Context(DeviceOf(device)));
        Stack.Push(*context);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuCtxDestroy_v2")]
    private static int CtxDestroy(nint context) => Call(() =>
    {
        s_contexts.Remove(context);
        if (Stack.TryPeek(out var current) && current == context)
        {
            Stack.Pop();
        }
    });

    [UnmanagedCallersOnly(EntryPoint = "cuCtxPushCurrent_v2")]
    private static int CtxPushCurrent(nint context) => Call(() =>
    {
        s_contexts.Find(context);
        Stack.Push(context);
    });

    [UnmanagedCallersOnly(EntryPoint = "cuCtxPopCurrent_v2")]
    private static int CtxPopCurrent(nint* context) => Call(() =>
    {
        Require(Stack.TryPop(out *context), "CUDA_ERROR_INVALID_CONTEXT", "the thread has no context");
    });

    [UnmanagedCallersOnly(EntryPoint = "cuCtxSetCurrent")]
    private static int CtxSetCurrent(nint context) => Call(() =>
    {
        Stack.TryPop(out _);
        if (context != 0)
        {
            s_contexts.Find(context);
            Stack.Push(context);
        }
    });

    [UnmanagedCallersOnly(EntryPoint = "cuCtxSynchronize")]
    private static int CtxSynchronize() => Call(() => Current.Machine.Synchronize(Current.Ordinal, 0));

    [UnmanagedCallersOnly(EntryPoint = "cuCtxGetCacheConfig")]
    private static int CtxGetCacheConfig(int* config) => Call(() => *config = 0);

    [UnmanagedCallersOnly(EntryPoint = "cuCtxGetSharedMemConfig")]
    private static int CtxGetSharedMemConfig(int* config) => Call(() => *config = 0);

    private static Device DeviceOf(int handle)
    {
        lock (s_devices)
        {
            var ordinal = handle - FirstDevice;
            return ordinal >= 0 && ordinal < s_devices.Count
                ? s_devices[ordinal]
                : throw new DriverException("CUDA_ERROR_INVALID_DEVICE", $"{handle} is no device");
        }
    }
}
