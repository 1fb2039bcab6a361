using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;
using ILGPU.Runtime.Cuda;
using ILGPU.Runtime.OpenCL;

namespace Asft.Kernels.Ilgpu;

/// <summary>A device that ILGPU drives: the processor itself (for tests), an OpenCL device or an NVIDIA GPU.</summary>
public sealed class IlgpuDevice
{
    // Never disposed: a context holds compiler state and no device memory, and finding the devices takes a while.
    private static readonly Once<Context> s_context = new(CreateContext);
    private static readonly Once<ImmutableArray<IlgpuDevice>> s_all = new(FindAll);

    private readonly Device _device;

    private IlgpuDevice(string id, Device device)
    {
        Id = id;
        Name = device is CPUDevice ? "ILGPU's CPU accelerator" : device.Name;
        _device = device;
    }

    /// <summary>Every device there is, ILGPU's CPU accelerator first.</summary>
    public static IReadOnlyList<IlgpuDevice> All => s_all.Value;

    /// <summary>
    /// What the device is called in <c>ASFT_DEVICE</c>: <c>ilgpu:cpu</c>, <c>ilgpu:opencl:0</c>, <c>ilgpu:cuda:0</c>.
    /// </summary>
    public string Id { get; }

    /// <summary>What its driver calls it.</summary>
    public string Name { get; }

    /// <summary>
    /// True for ILGPU's CPU accelerator, which is there to test device code: it runs each thread of a device as one of its own.
    /// </summary>
    public bool IsEmulated => _device is CPUDevice;

    /// <inheritdoc/>
    public override string ToString() => $"{Id} ({Name})";

    /// <summary>Opens the device. The caller disposes of it.</summary>
    internal Accelerator Open() => _device.CreateAccelerator(s_context.Value);

    private static Context CreateContext()
    {
        // ILGPU asks for "OpenCL" and "cuda", which on Linux mean libOpenCL.so and libcuda.so: links that come only with a compiler's
        // headers. What the packages of loader and driver install has a version in its name. Without this, ILGPU takes a machine with
        // OpenCL or CUDA for one without.
        AssemblyLoadContext.GetLoadContext(typeof(Context).Assembly)!.ResolvingUnmanagedDll += (_, name) =>
            name is "OpenCL" or "cuda" && NativeLibrary.TryLoad($"lib{name}.so.1", out nint library) ? library : 0;
        return Context.Create(builder => builder.EnableAlgorithms().OpenCL().Cuda());
    }

    private static ImmutableArray<IlgpuDevice> FindAll()
    {
        // Few threads, since each is a thread of the system; and two warps of two, so that a group is what it is on a GPU.
        var processor = new CPUDevice(numThreadsPerWarp: 2, numWarpsPerMultiprocessor: 2, numMultiprocessors: Environment.ProcessorCount);
        ImmutableArray<Device> found = s_context.Value.Devices;
        return
        [
            new IlgpuDevice("ilgpu:cpu", processor),
            .. found.OfType<CLDevice>().Select((device, i) => new IlgpuDevice(Invariant($"ilgpu:opencl:{i}"), device)),
            .. found.OfType<CudaDevice>().Select((device, i) => new IlgpuDevice(Invariant($"ilgpu:cuda:{i}"), device)),
        ];
    }
}
