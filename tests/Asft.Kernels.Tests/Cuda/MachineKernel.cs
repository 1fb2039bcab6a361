using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;
using Asft.PtxVm;
using Asft.PtxVm.Driver;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>What works on a row too long for one block: one block all the same, several in launches that follow each other, or a cluster.</summary>
public enum BlocksOfARow
{
    /// <summary>One block.</summary>
    One,

    /// <summary>Several blocks, whose sums another launch merges.</summary>
    Several,

    /// <summary>A cluster of blocks.</summary>
    Cluster,
}

/// <summary>
/// The CUDA kernels on the PTX virtual machine, for problems in host memory, as a kernel that throws at once: a label out of range is
/// looked for after each call. The machine is shown the memory of each call; see <see cref="MachineDevice"/>.
/// </summary>
/// <remarks>
/// Where the system's loader finds the <c>libcuda.so.1</c> of the virtual machine, every call takes the way that it takes to a GPU: the
/// native binding of the driver, and that library.
/// Kernels are kept, one for each set of options, as reading the PTX takes longer than most problems; each thread has its own, as fixtures
/// run side by side.
/// </remarks>
internal sealed unsafe class MachineKernel : ITokenLossKernel, IDisposable
{
    /// <summary>With this variable, kernels come from PTX files in that folder: mutants, to see that the tests find them.</summary>
    private const string PtxVariable = "ASFT_KERNEL_PTX";

    [ThreadStatic]
    private static Dictionary<(CudaDevice Device, int? Seed), MachineKernel>? s_kept;

    private readonly CudaTokenLossKernel _kernel;

    private MachineKernel(CudaDevice device, int? seed)
    {
        Machine = new PtxMachine(new PtxMachineOptions
        {
            Devices = [device],
            Seed = seed ?? 1,
            ApproximationErrors = seed is null,
        });
        int ordinal = LibCuda.IsThere ? LibCuda.Add(Machine) : 0;
        Driver = LibCuda.IsThere ? new NativeCudaDriver(CudaApi.TryLoad()) : Machine;
        string? folder = Environment.GetEnvironmentVariable(PtxVariable);
        CudaModules modules = folder is null
            ? CudaModules.Shipped(Driver)
            : new CudaModules(Driver, module => File.ReadAllText(Path.Combine(folder, module + ".ptx")));
        _kernel = new CudaTokenLossKernel(Driver, ordinal, 0, modules);
        Shown = new MachineDevice(Machine, _kernel);
    }

    public PtxMachine Machine { get; }

    /// <summary>What the kernel takes for its driver.</summary>
    public ICudaDriver Driver { get; }

    /// <summary>A kernel, with nothing counted yet.</summary>
    /// <param name="blocks">What works on a long row.</param>
    /// <param name="seed">Of the order of blocks and warps; with one, approximate instructions do not err, as their errors come from it too.</param>
    public static MachineKernel Get(BlocksOfARow blocks = BlocksOfARow.One, int? seed = null) => Get(DeviceFor(blocks), seed);

    /// <summary>A kernel for a device, with nothing counted yet.</summary>
    public static MachineKernel Get(CudaDevice device, int? seed = null)
    {
        s_kept ??= [];
        if (!s_kept.TryGetValue((device, seed), out MachineKernel? kernel))
        {
            s_kept[(device, seed)] = kernel = new MachineKernel(device, seed);
        }

        kernel.Machine.ResetCounts();
        return kernel;
    }

    /// <summary>A device where long rows have so many blocks: few multiprocessors, many, or little shared memory.</summary>
    public static CudaDevice DeviceFor(BlocksOfARow blocks) => blocks switch
    {
        BlocksOfARow.One => DeviceWith(multiprocessors: 1),
        BlocksOfARow.Several => DeviceWith(multiprocessors: 108),
        _ => DeviceWith(multiprocessors: 1) with { Major = 9, SharedBytes = RowBlock.DeclaredBytes + (12 << 10) },
    };

    /// <summary>A device with what an A100 has of shared memory.</summary>
    public static CudaDevice DeviceWith(int multiprocessors) => new(0, "PTX virtual machine", 8, 0, multiprocessors, 40L << 30, 163 << 10);

    /// <summary>The kernel itself, to which the machine's memory is to be shown.</summary>
    public ITokenLossKernel Device => _kernel;

    /// <summary>The same, shown the memory of each call.</summary>
    public MachineDevice Shown { get; }

    public string Name => _kernel.Name;

    public bool IsAsynchronous => _kernel.IsAsynchronous;

    public IReadOnlyList<string> Describe() => _kernel.Describe();

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        Shown.Forward(problem, outputs, gradient);
        _kernel.ThrowIfFaulted();
    }

    public void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default)
    {
        Shown.Summarize(problem, states, gradient);
        _kernel.ThrowIfFaulted();
    }

    public void Merge(in TokenProblem problem, RowState* states, RowState* others) => Shown.Merge(problem, states, others);

    public void Finish(in TokenProblem problem, in TokenOutputs outputs)
    {
        Shown.Finish(problem, outputs);
        _kernel.ThrowIfFaulted();
    }

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient)
    {
        Shown.Backward(problem, saved, gradient);
        _kernel.ThrowIfFaulted();
    }

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        Shown.BackwardUnlessOne(problem, saved, gradient, unlessOne);
        _kernel.ThrowIfFaulted();
    }

    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        Shown.Rescale(problem, gradient);
        _kernel.ThrowIfFaulted();
    }

    public void Count(in TokenCounting count) => Shown.Count(count);

    public void Total(void* losses, long rows, ElementType type, void* factor, void* total) => Shown.Total(losses, rows, type, factor, total);

    public void ThrowIfFaulted() => _kernel.ThrowIfFaulted();

    public void Dispose()
    {
        _kernel.Dispose();
        Machine.Dispose();
    }
}
