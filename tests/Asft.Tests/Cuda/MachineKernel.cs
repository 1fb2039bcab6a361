using Asft.Kernels;
using Asft.Kernels.Cuda;
using Asft.PtxVm;

namespace Asft.Tests.Cuda;

/// <summary>
/// The CUDA kernels on the PTX virtual machine, for problems in host memory: for each call the machine is shown exactly the memory that
/// the call may use, so that anything else a kernel touches is a fault.
/// </summary>
/// <remarks>Kernels are kept, one for each set of options: reading the PTX takes longer than most problems.</remarks>
internal sealed unsafe class MachineKernel : ITokenLossKernel, IDisposable
{
    /// <summary>With this variable, kernels come from PTX files in that folder: mutants, to see that the tests find them.</summary>
    private const string PtxVariable = "ASFT_KERNEL_PTX";

    private static readonly Dictionary<(int Multiprocessors, int? Seed), MachineKernel> s_kept = [];

    private readonly CudaTokenLossKernel _kernel;

    private MachineKernel(int multiprocessors, int? seed)
    {
        Machine = new PtxMachine(new PtxMachineOptions
        {
            Devices = [new CudaDevice(0, "PTX virtual machine", 8, 0, multiprocessors, 40L << 30)],
            Seed = seed ?? 1,
            ApproximationErrors = seed is null,
        });
        string? folder = Environment.GetEnvironmentVariable(PtxVariable);
        CudaModules modules = folder is null
            ? CudaModules.Shipped(Machine)
            : new CudaModules(Machine, module => File.ReadAllText(Path.Combine(folder, module + ".ptx")));
        _kernel = new CudaTokenLossKernel(Machine, 0, 0, modules);
    }

    public PtxMachine Machine { get; }

    /// <summary>A kernel, with nothing counted yet.</summary>
    /// <param name="multiprocessors">Of the device it believes to be on. With 1 no row is shared by several blocks.</param>
    /// <param name="seed">Of the order of blocks and warps; with one, approximate instructions do not err, as their errors come from it too.</param>
    public static MachineKernel Get(int multiprocessors = 1, int? seed = null)
    {
        lock (s_kept)
        {
            if (!s_kept.TryGetValue((multiprocessors, seed), out MachineKernel? kernel))
            {
                s_kept[(multiprocessors, seed)] = kernel = new MachineKernel(multiprocessors, seed);
            }

            kernel.Machine.ResetCounts();
            return kernel;
        }
    }

    public IDeviceTokenLossKernel Device => _kernel;

    public string Name => _kernel.Name;

    public IReadOnlyList<string> Describe() => _kernel.Describe();

    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        using var shown = new ShownMemory(Machine);
        shown.Problem(problem, readsReference: !problem.Reference.IsNull);
        shown.Outputs(problem, outputs, isSaved: false);
        shown.Gradient(problem, gradient, isFinished: false);
        _kernel.Forward(problem, outputs, gradient);
        _kernel.ThrowIfFaulted();
    }

    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient) =>
        BackwardUnlessOne(problem, saved, gradient, null);

    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        using var shown = new ShownMemory(Machine);
        shown.Problem(problem, readsReference: problem.Objective.KlWeight > 0);
        shown.Outputs(problem, saved, isSaved: true);
        shown.Gradient(problem, gradient, isFinished: false);
        shown.Array(unlessOne, ShownMemory.RealBytes(problem.Logits.Type), "unlessOne", true);
        _kernel.BackwardUnlessOne(problem, saved, gradient, unlessOne);
        _kernel.ThrowIfFaulted();
    }

    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        using var shown = new ShownMemory(Machine);
        shown.Array(problem.Labels, problem.Rows * sizeof(long), "labels", true);
        shown.Gradient(problem, gradient, isFinished: true);
        _kernel.Rescale(problem, gradient);
        _kernel.ThrowIfFaulted();
    }

    public void Dispose()
    {
        _kernel.Dispose();
        Machine.Dispose();
    }
}

/// <summary>The memory that one call may use.</summary>
internal sealed unsafe class ShownMemory(PtxMachine machine) : IDisposable
{
    private readonly List<nint> _shown = [];

    public static int RealBytes(ElementType type) => type == ElementType.Float64 ? sizeof(double) : sizeof(float);

    public void Problem(in TokenProblem problem, bool readsReference)
    {
        Array(problem.Labels, problem.Rows * sizeof(long), "labels", true);
        Matrix(problem, problem.Logits, "logits");
        if (readsReference)
        {
            Matrix(problem, problem.Reference, "reference");
        }
    }

    public void Outputs(in TokenProblem problem, in TokenOutputs outputs, bool isSaved)
    {
        long bytes = problem.Rows * RealBytes(problem.Logits.Type);
        Array(outputs.Loss, bytes, "loss", isSaved);
        Array(outputs.LogProbability, bytes, "log-probability", isSaved);
        Array(outputs.Weight, bytes, "weight", isSaved);
        Array(outputs.Kl, bytes, "KL", isSaved);
        Array(outputs.LogSumExp, bytes, "log-sum-exp", isSaved);
        Array(outputs.ReferenceLogSumExp, bytes, "reference log-sum-exp", isSaved);
        Array(outputs.Predicted, problem.Rows * sizeof(long), "predicted", isSaved);
    }

    public void Gradient(in TokenProblem problem, in TokenGradient gradient, bool isFinished)
    {
        if (!gradient.Logits.IsNull)
        {
            bool inPlace = gradient.Logits.Data == problem.Logits.Data;
            for (long row = 0; row < problem.Rows; row++)
            {
                if (!inPlace || IsIgnored(problem, row))
                {
                    Row(problem, gradient.Logits, row, "gradient", isFinished);
                }
            }
        }

        if (gradient.Upstream != null)
        {
            long count = gradient.UpstreamStride == 0 ? 1 : problem.Rows;
            Array(gradient.Upstream, count * RealBytes(problem.Logits.Type), "upstream", true);
        }
    }

    public void Array(void* data, long bytes, string name, bool initialized)
    {
        if (data != null && bytes > 0)
        {
            machine.Memory.Register(data, bytes, name, initialized);
            _shown.Add((nint)data);
        }
    }

    public void Dispose()
    {
        for (int i = _shown.Count - 1; i >= 0; i--)
        {
            machine.Memory.Unregister((void*)_shown[i]);
        }
    }

    /// <summary>
    /// Each row by itself: what lies between two rows belongs to nobody. Ignored rows of logits are not shown: reading them is a fault.
    /// </summary>
    private void Matrix(in TokenProblem problem, in LogitMatrix matrix, string name)
    {
        Array(matrix.RowOffsets, problem.Rows * sizeof(long), name + " offsets", true);
        for (long row = 0; row < problem.Rows; row++)
        {
            if (!IsIgnored(problem, row))
            {
                Row(problem, matrix, row, name, true);
            }
        }
    }

    private void Row(in TokenProblem problem, in LogitMatrix matrix, long row, string name, bool initialized) =>
        Array(matrix.Row(row), problem.Vocabulary * matrix.Type.SizeInBytes(), $"{name} row {row}", initialized);

    private static bool IsIgnored(in TokenProblem problem, long row) => problem.Labels[row] == problem.Objective.IgnoreIndex;
}
