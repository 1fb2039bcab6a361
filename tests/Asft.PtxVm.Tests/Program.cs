using System.Runtime.InteropServices;
using Asft.Kernels.Cuda;

namespace Asft.PtxVm.Tests;

/// <summary>A machine with one module, for tests: memory as arrays, launches as one call.</summary>
internal sealed unsafe class Program : IDisposable
{
    private readonly nint _module;
    private readonly List<GCHandle> _pinned = [];

    public Program(string ptx, PtxMachineOptions? options = null)
    {
        Machine = new PtxMachine(options ?? new PtxMachineOptions());
        _module = Machine.LoadModule(0, ptx);
    }

    public PtxMachine Machine { get; }

    /// <summary>PTX of a whole module around a kernel's body. The parameter is called "p" and has so many bytes.</summary>
    public static string Kernel(string body, int parameterBytes = 64, string outside = "") => $$"""
        .version 7.8
        .target sm_80
        .address_size 64
        {{outside}}
        .visible .entry k(.param .align 8 .b8 p[{{parameterBytes}}])
        {
            .reg .pred %p<32>;
            .reg .b16 %rs<64>;
            .reg .b32 %r<64>;
            .reg .f32 %f<64>;
            .reg .b64 %rd<64>;
            .reg .f64 %fd<64>;
        {{body}}
        }
        """;

    public static string Read(string name) => File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "Programs", name + ".ptx"));

    /// <summary>The address of an array that kernels may use until the program is disposed.</summary>
    public ulong Use<T>(T[] array, string name = "array", bool initialized = true)
        where T : unmanaged
    {
        var handle = GCHandle.Alloc(array, GCHandleType.Pinned);
        _pinned.Add(handle);
        Machine.Memory.Register((void*)handle.AddrOfPinnedObject(), array.LongLength * sizeof(T), name, initialized);
        return (ulong)handle.AddrOfPinnedObject();
    }

    public void Launch<T>(string kernel, uint blocks, uint threads, T parameter, uint blocksY = 1, uint sharedBytes = 0, uint cluster = 1)
        where T : unmanaged =>
        Machine.Launch(0, new CudaLaunch(Machine.GetFunction(0, _module, kernel), blocks, blocksY, threads, 0, sharedBytes, cluster), &parameter, sizeof(T));

    public void Dispose()
    {
        Machine.Dispose();
        foreach (var handle in _pinned)
        {
            handle.Free();
        }
    }
}
