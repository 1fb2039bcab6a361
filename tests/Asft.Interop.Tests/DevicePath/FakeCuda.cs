using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Asft.Kernels.Cuda.Driver;

namespace Asft.Interop.Tests.DevicePath;

/// <summary>
/// A CUDA driver without a GPU: it keeps each thread's stack of contexts as the real one does, writes down what it is asked, and fails
/// where it is told to. One for the process, as native code has no object to be called on: tests that use it do not run in parallel.
/// </summary>
internal static unsafe class FakeCuda
{
    /// <summary><c>CUDA_ERROR_OUT_OF_MEMORY</c>, the failure of everything that is told to fail.</summary>
    private const int OutOfMemory = 2;

    private const int Unknown = 999;

    /// <summary>Handles of devices are these numbers above their ordinals, so that the two cannot be taken for each other.</summary>
    private const int HandleBase = 40;

    /// <summary>The context that every thread has before anything is called, as torch's threads do.</summary>
    private const nint ForeignContext = 7;

    private static readonly Lock s_lock = new();
    private static readonly List<string> s_calls = [];
    private static readonly nint s_name = Text("CUDA_ERROR_OUT_OF_MEMORY");
    private static readonly nint s_text = Text("out of memory");

    [ThreadStatic]
    private static Stack<nint>? s_contexts;

    /// <summary>The function that fails, by its name here; null for none.</summary>
    public static string? Failing { get; set; }

    /// <summary>How many devices there are.</summary>
    public static int DeviceCount { get; set; }

    /// <summary>Everything that was asked, without the pushing and popping of contexts.</summary>
    public static string[] Calls
    {
        get
        {
            lock (s_lock)
            {
                return [.. s_calls];
            }
        }
    }

    /// <summary>The calling thread's contexts, the current one first.</summary>
    public static nint[] Contexts => [.. Stack];

    /// <summary>What a thread has that never called.</summary>
    public static nint[] UntouchedContexts => [ForeignContext];

    /// <summary>Memory that the next allocations give out.</summary>
    public static nint NextMemory { get; set; }

    private static Stack<nint> Stack => s_contexts ??= new Stack<nint>([ForeignContext]);

    /// <summary>Forgets everything.</summary>
    public static void Reset()
    {
        lock (s_lock)
        {
            s_calls.Clear();
        }

        Failing = null;
        DeviceCount = 2;
        NextMemory = 0x1000;
        s_contexts = null;
    }

    /// <summary>The functions.</summary>
    public static CudaApi Api() => new()
    {
        Init = &Init,
        DriverGetVersion = &DriverGetVersion,
        DeviceGetCount = &DeviceGetCount,
        DeviceGet = &DeviceGet,
        DeviceGetName = &DeviceGetName,
        DeviceGetAttribute = &DeviceGetAttribute,
        DeviceTotalMem = &DeviceTotalMem,
        DevicePrimaryCtxRetain = &DevicePrimaryCtxRetain,
        CtxPushCurrent = &CtxPushCurrent,
        CtxPopCurrent = &CtxPopCurrent,
        ModuleLoadDataEx = &ModuleLoadDataEx,
        ModuleGetFunction = &ModuleGetFunction,
        LaunchKernel = &LaunchKernel,
        LaunchKernelEx = &LaunchKernelEx,
        FuncSetAttribute = &FuncSetAttribute,
        OccupancyMaxActiveClusters = &OccupancyMaxActiveClusters,
        MemGetInfo = &MemGetInfo,
        MemAlloc = &MemAlloc,
        MemFree = &MemFree,
        MemHostAlloc = &MemHostAlloc,
        MemFreeHost = &MemFreeHost,
        StreamSynchronize = &StreamSynchronize,
        GetErrorName = &GetErrorName,
        GetErrorString = &GetErrorString,
    };

    private static nint Text(string text) => Marshal.StringToCoTaskMemUTF8(text);

    private static string Read(byte* text) => Marshal.PtrToStringUTF8((nint)text)!;

    /// <summary>Notes a call made in whatever context is current.</summary>
    private static int Note(string what, [CallerMemberName] string function = "")
    {
        lock (s_lock)
        {
            s_calls.Add($"{function}({what}) in {Stack.Peek()}");
        }

        return Failing == function ? OutOfMemory : 0;
    }

    [UnmanagedCallersOnly]
    private static int Init(uint flags) => Note($"{flags}");

    [UnmanagedCallersOnly]
    private static int DriverGetVersion(int* version)
    {
        *version = 12040;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int DeviceGetCount(int* count)
    {
        *count = DeviceCount;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int DeviceGet(int* device, int ordinal)
    {
        *device = HandleBase + ordinal;
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int DeviceGetName(byte* name, int bytes, int device)
    {
        byte[] text = Encoding.UTF8.GetBytes($"Fake {device - HandleBase}\0");
        text.CopyTo(new Span<byte>(name, bytes));
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int DeviceGetAttribute(int* value, int attribute, int device)
    {
        // The second device is a Turing.
        bool old = device == HandleBase + 1;
        *value = attribute switch
        {
            CudaConstants.ComputeCapabilityMajor => old ? 7 : 9,
            CudaConstants.ComputeCapabilityMinor => old ? 5 : 0,
            CudaConstants.MultiprocessorCount => 132,
            CudaConstants.MaxSharedMemoryPerBlockOptin => 227 << 10,
            _ => -1,
        };
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int DeviceTotalMem(nuint* bytes, int device)
    {
        *bytes = (nuint)80 << 30;
        return 0;
    }

    /// <summary>Takes its time, so that threads that ask at once would be seen.</summary>
    [UnmanagedCallersOnly]
    private static int DevicePrimaryCtxRetain(nint* context, int device)
    {
        Thread.Sleep(20);
        *context = 100 + device;
        return Note($"{device}");
    }

    [UnmanagedCallersOnly]
    private static int CtxPushCurrent(nint context)
    {
        if (Failing == nameof(CtxPushCurrent))
        {
            return OutOfMemory;
        }

        Stack.Push(context);
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int CtxPopCurrent(nint* context)
    {
        *context = Stack.Pop();
        return 0;
    }

    [UnmanagedCallersOnly]
    private static int ModuleLoadDataEx(nint* module, byte* image, uint count, int* names, void** values)
    {
        for (int i = 0; i < count; i += 2)
        {
            // A buffer, and then its size.
            string text = names[i] == CudaConstants.JitErrorLog ? "line 3: unknown opcode" : "compiled for sm_90";
            Encoding.UTF8.GetBytes(text + "\0").CopyTo(new Span<byte>(values[i], (int)(nint)values[i + 1]));
            if (names[i + 1] != names[i] + 1)
            {
                return Unknown;
            }
        }

        *module = 0x500;
        return Note(Read(image));
    }

    [UnmanagedCallersOnly]
    private static int ModuleGetFunction(nint* function, nint module, byte* name)
    {
        *function = 0x600;
        return Note($"{module:x}, {Read(name)}");
    }

    [UnmanagedCallersOnly]
    private static int LaunchKernel(
        nint function, uint gx, uint gy, uint gz, uint bx, uint by, uint bz, uint shared, nint stream, void** parameters, void** extra)
    {
        return parameters == null
            ? Note($"{function:x}, {gx} {gy} {gz}, {bx} {by} {bz}, {shared}, {stream}, {Parameters(extra)}")
            : Unknown;
    }

    [UnmanagedCallersOnly]
    private static int LaunchKernelEx(CudaLaunchConfig* config, nint function, void** parameters, void** extra) => parameters == null
        ? Note($"{function:x}, {Text(*config)}, {Parameters(extra)}")
        : Unknown;

    [UnmanagedCallersOnly]
    private static int FuncSetAttribute(nint function, int attribute, int value) => Note($"{function:x}, {attribute}, {value}");

    [UnmanagedCallersOnly]
    private static int OccupancyMaxActiveClusters(int* clusters, nint function, CudaLaunchConfig* config)
    {
        *clusters = 33;
        return Note($"{function:x}, {Text(*config)}");
    }

    private static string Text(in CudaLaunchConfig c) =>
        $"{c.GridX} {c.GridY} {c.GridZ}, {c.BlockX} {c.BlockY} {c.BlockZ}, {c.SharedBytes}, {c.Stream}, {c.AttributeCount}: "
        + $"{c.Attributes->Id} {c.Attributes->ClusterX} {c.Attributes->ClusterY} {c.Attributes->ClusterZ}";

    private static string Parameters(void** extra)
    {
        // As the driver reads it: pairs of a key and a value, up to the end mark.
        byte* buffer = null;
        long bytes = 0;
        for (int i = 0; (nint)extra[i] != CudaConstants.LaunchParameterEnd; i += 2)
        {
            if ((nint)extra[i] == CudaConstants.LaunchParameterBuffer)
            {
                buffer = (byte*)extra[i + 1];
            }
            else if ((nint)extra[i] == CudaConstants.LaunchParameterBytes)
            {
                bytes = (long)*(nuint*)extra[i + 1];
            }
        }

        return $"[{string.Join(' ', new Span<byte>(buffer, (int)bytes).ToArray())}]";
    }

    [UnmanagedCallersOnly]
    private static int MemGetInfo(nuint* free, nuint* total)
    {
        (*free, *total) = ((nuint)48 << 30, (nuint)80 << 30);
        return Note("memory");
    }

    [UnmanagedCallersOnly]
    private static int MemAlloc(void** memory, nuint bytes)
    {
        *memory = (void*)NextMemory;
        return Note($"{bytes}");
    }

    [UnmanagedCallersOnly]
    private static int MemFree(void* memory) => Note($"{(nint)memory:x}");

    [UnmanagedCallersOnly]
    private static int MemHostAlloc(void** memory, nuint bytes, uint flags)
    {
        *memory = NativeMemory.Alloc(bytes);
        new Span<byte>(*memory, (int)bytes).Fill(0xAA);
        return Note($"{bytes}, {flags}");
    }

    [UnmanagedCallersOnly]
    private static int MemFreeHost(void* memory)
    {
        NativeMemory.Free(memory);
        return Note("memory");
    }

    [UnmanagedCallersOnly]
    private static int StreamSynchronize(nint stream) => Note($"{stream}");

    [UnmanagedCallersOnly]
    private static int GetErrorName(int result, byte** text)
    {
        *text = result == OutOfMemory ? (byte*)s_name : null;
        return result == OutOfMemory ? 0 : 1;
    }

    [UnmanagedCallersOnly]
    private static int GetErrorString(int result, byte** text)
    {
        *text = result == OutOfMemory ? (byte*)s_text : null;
        return result == OutOfMemory ? 0 : 1;
    }
}
