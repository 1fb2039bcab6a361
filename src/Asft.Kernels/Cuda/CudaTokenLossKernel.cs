using System.Collections.Concurrent;

namespace Asft.Kernels.Cuda;

/// <summary>
/// The loss on an NVIDIA GPU of compute capability 8.0 or above: the kernels of kernels/*.cu, which this library ships as PTX. All work
/// is enqueued on one stream, and no call waits for it.
/// </summary>
/// <remarks>
/// One block works on a row, so a row's result does not depend on the other rows. Where there are few rows for the multiprocessors and the
/// vocabulary is large, several blocks share a row, and how many depends on the number of rows; results differ in the last bits then.
/// The same call on the same kind of device always gives the same bits, as long as rows lie alike in memory: where a row begins within
/// 128 bytes decides which thread adds which logits. Safe to call from several threads.
/// </remarks>
internal sealed unsafe class CudaTokenLossKernel : ITokenLossKernel, IDisposable
{
    /// <summary>Rows of a block of "combine".</summary>
    private const int CombineRows = KernelConstants.CombineThreads / KernelConstants.WarpSize;

    private const string Reductions = "reductions";

    /// <summary>Positions in a row are 32-bit numbers to the kernels, and go a block's step beyond its end.</summary>
    private const int LargestVocabulary = int.MaxValue - (1 << 20);

    private const long LargestGridX = int.MaxValue;
    private const long LargestGridY = 65535;

    private readonly Lock _workspaceLock = new();
    private readonly ICudaDriver _driver;
    private readonly CudaDevice _device;
    private readonly nint _stream;
    private readonly CudaModules _modules;
    private readonly FaultReport _faults;
    private readonly List<nint> _workspaces = [];
    private readonly ConcurrentDictionary<(KernelChoice Choice, RowBlock Block), bool> _roomForClusters = new();
    private long _workspaceBytes;
    private bool _disposed;

    /// <summary>A kernel for one stream of a device.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="device">Ordinal of the device, one of <see cref="ICudaDriver.Devices"/>.</param>
    /// <param name="stream">The stream; 0 is the default stream of the device's primary context.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such device.</exception>
    /// <exception cref="NotSupportedException">The device's compute capability is below 8.0.</exception>
    public CudaTokenLossKernel(ICudaDriver driver, int device, nint stream = 0)
        : this(driver, device, stream, CudaModules.Shipped(driver))
    {
    }

    /// <summary>The same with other kernels than those that are shipped.</summary>
    internal CudaTokenLossKernel(ICudaDriver driver, int device, nint stream, CudaModules modules)
    {
        ArgumentNullException.ThrowIfNull(driver);
        _device = driver.Devices.FirstOrDefault(candidate => candidate.Ordinal == device)
            ?? throw new ArgumentOutOfRangeException(nameof(device), Invariant($"There is no CUDA device {device}."));
        if (!Supports(_device))
        {
            throw new NotSupportedException(
                Invariant($"{_device.Name} has compute capability {_device.Major}.{_device.Minor}; the kernels need 8.0 (Ampere) or above."));
        }

        _driver = driver;
        _stream = stream;
        _modules = modules;
        _faults = new FaultReport(driver, device, stream);
        Name = Invariant($"CUDA ({_device.Name}, sm_{_device.Major}{_device.Minor}, PTX)");
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public bool IsAsynchronous => true;

    /// <summary>Whether the kernels run on a device.</summary>
    /// <param name="device">The device.</param>
    /// <returns>True from compute capability 8.0 on.</returns>
    public static bool Supports(CudaDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        return device.Major >= 8;
    }

    /// <summary>What serves logits of each storage type, one per line, and whether the driver has compiled it by now.</summary>
    /// <returns>The lines.</returns>
    public IReadOnlyList<string> Describe() =>
    [
        .. Enum.GetValues<ElementType>().Select(type =>
        {
            string module = KernelChoice.ModuleOf(type);
            string state = _modules.IsLoaded(_device.Ordinal, module) ? "loaded" : "not loaded yet";
            return $"{type}: {module}.ptx on {Name}, {state}";
        }),
    ];

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The reference is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are too many rows, or the vocabulary is too large.</exception>
    public void Forward(in TokenProblem problem, in TokenOutputs outputs, in TokenGradient gradient)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var plan = RowPlan.Forward(problem, outputs, gradient);
        CheckSize(plan.Problem);
        if (problem.Rows == 0)
        {
            return;
        }

        RowArguments arguments = Arguments(plan);
        if (plan.HasEntropy || plan.IsTopK)
        {
            LaunchInSteps(plan, arguments);
            return;
        }

        KernelChoice choice = KernelChoice.OfLoss(plan);
        RowSplit split = SplitOf(problem, choice, plan.HasGradient);
        RowBlock block = plan.HasGradient ? BlockOf(problem, choice) : RowBlock.Plain;
        if (split.Parts > block.Blocks)
        {
            LaunchShared(plan, choice, split, arguments);
        }
        else
        {
            LaunchRows(choice, block, arguments);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">There are too many rows, or the vocabulary is too large.</exception>
    public void Summarize(in TokenProblem problem, RowState* states, in TokenGradient gradient = default)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var plan = RowPlan.Summarize(problem, states);
        CheckSize(plan.Problem);
        if (problem.Rows == 0)
        {
            return;
        }

        LaunchSummary(plan, Arguments(plan));
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">There are too many rows, or the vocabulary is too large.</exception>
    public void Merge(in TokenProblem problem, RowState* states, RowState* others)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var plan = RowPlan.Merge(problem, states, others);
        CheckSize(plan.Problem);
        RowArguments arguments = Arguments(plan);
        arguments.Others = others;
        LaunchOnStates(plan, "merge", arguments);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">There are too many rows, or the vocabulary is too large.</exception>
    public void Finish(in TokenProblem problem, in TokenOutputs outputs)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var plan = RowPlan.Finish(problem, outputs);
        CheckSize(plan.Problem);
        LaunchOnStates(plan, "finish", Arguments(plan));
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The reference, the gradient or a saved output is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are too many rows, or the vocabulary is too large.</exception>
    public void Backward(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient) =>
        BackwardUnlessOne(problem, saved, gradient, null);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The reference, the gradient or a saved output is missing, or the gradient's type is not that of the logits.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There are too many rows, or the vocabulary is too large.</exception>
    public void BackwardUnlessOne(in TokenProblem problem, in TokenOutputs saved, in TokenGradient gradient, void* unlessOne)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        var plan = RowPlan.Backward(problem, saved, gradient);
        CheckSize(plan.Problem);
        if (problem.Rows == 0)
        {
            return;
        }

        plan.CheckSaved(saved.State, nameof(saved.State));
        RowArguments arguments = Arguments(plan);
        arguments.UnlessOne = unlessOne;
        LaunchGradient(plan, arguments);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">The gradient is missing.</exception>
    public void Rescale(in TokenProblem problem, in TokenGradient gradient)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        RowPlan.CheckRescale(gradient);
        CheckSize(problem);
        if (problem.Rows == 0 || gradient.Upstream == null)
        {
            return;
        }

        var arguments = new RowArguments
        {
            Rows = problem.Rows,
            Labels = problem.Labels,
            Gradient = new MatrixArgument(gradient.Logits),
            Upstream = gradient.Upstream,
            Weights = problem.Weights,
            Objective = new ObjectiveArguments(problem.Objective, problem.Vocabulary),
            Vocabulary = (int)problem.Vocabulary,
            Parts = 1,
        };
        LaunchSmall(KernelChoice.ModuleOf(gradient.Logits.Type), "rescale", arguments);
    }

    /// <inheritdoc/>
    public void Count(in TokenCounting count)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        RowPlan.CheckRows(count.Rows, nameof(count));
        var arguments = new CountArguments
        {
            Labels = count.Labels,
            Rows = count.Rows,
            IgnoreIndex = count.IgnoreIndex,
            Denominator = count.Denominator,
            Counted = count.Counted,
            Factor = count.Factor,
            IsMean = count.IsMean ? 1 : 0,
            IsDouble = count.Type == ElementType.Float64 ? 1 : 0,
        };
        LaunchOne("count", &arguments, sizeof(CountArguments));
    }

    /// <inheritdoc/>
    public void Total(void* losses, long rows, ElementType type, void* factor, void* total)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        RowPlan.CheckRows(rows, nameof(rows));
        var arguments = new TotalArguments
        {
            Losses = losses,
            Rows = rows,
            Factor = factor,
            Total = total,
            IsDouble = type == ElementType.Float64 ? 1 : 0,
        };
        LaunchOne("total", &arguments, sizeof(TotalArguments));
    }

    /// <inheritdoc/>
    public void ThrowIfFaulted()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _faults.Throw();
    }

    /// <summary>Waits for the stream, and frees what this holds on the device; the compiled kernels stay loaded.</summary>
    public void Dispose()
    {
        lock (_workspaceLock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _driver.Synchronize(_device.Ordinal, _stream);
            _faults.Dispose();
            foreach (nint workspace in _workspaces)
            {
                _driver.Free(_device.Ordinal, (void*)workspace);
            }
        }
    }

    private static void CheckSize(in TokenProblem problem)
    {
        if (problem.Vocabulary is < 1 or > LargestVocabulary)
        {
            throw new ArgumentOutOfRangeException(
                nameof(problem), Invariant($"Vocabulary must be in [1, {LargestVocabulary}]; got {problem.Vocabulary}."));
        }

        if (problem.Rows is < 0 or > LargestGridX * LargestGridY)
        {
            throw new ArgumentOutOfRangeException(
                nameof(problem), Invariant($"Rows must be in [0, {LargestGridX * LargestGridY}]; got {problem.Rows}."));
        }
    }

    private RowArguments Arguments(in RowPlan plan) => new()
    {
        Rows = plan.Problem.Rows,
        Labels = plan.Problem.Labels,
        Logits = new MatrixArgument(plan.Problem.Logits),
        Reference = new MatrixArgument(plan.Problem.Reference),
        Gradient = new MatrixArgument(plan.Gradient.Logits),
        GradientScale = plan.Gradient.Scale,
        Upstream = plan.Gradient.Upstream,
        UpstreamStride = plan.Gradient.UpstreamStride,
        Weights = plan.Problem.Weights,
        GivenWeights = plan.Problem.GivenWeights,
        TopK = plan.IsTopK ? new TopKArguments(plan.Problem.TopK, plan.Problem.Objective.KlDirection) : default,
        LabelLogProbabilities = plan.Use == ReferenceUse.Sum ? plan.Problem.LabelLogProbabilities : null,
        Outputs = new OutputArguments(plan.Outputs),
        Objective = new ObjectiveArguments(plan.Problem.Objective, plan.Vocabulary),
        Scaling = new ScalingArguments(plan.Problem.Objective),
        Fault = _faults.Word,
        States = plan.Outputs.State,
        FirstColumn = plan.Problem.FirstColumn,
        WholeVocabulary = plan.Vocabulary,
        Vocabulary = (int)plan.Problem.Vocabulary,
        Parts = 1,
    };

    private RowSplit SplitOf(in TokenProblem problem, KernelChoice choice, bool fusesGradient) => choice.IsTopK
        ? RowSplit.None
        : RowSplit.Of(problem.Rows, problem.Vocabulary, problem.Logits.Type, choice.Form, fusesGradient, _device.Multiprocessors);

    /// <summary>The block, or the cluster, for a row's loss and gradient.</summary>
    private RowBlock BlockOf(in TokenProblem problem, KernelChoice choice)
    {
        var block = RowBlock.Of(problem.Vocabulary, problem.Logits.Type, choice, _device);
        while (block.Blocks > 1 && !HasRoomFor(choice, block))
        {
            block = RowBlock.Of(problem.Vocabulary, problem.Logits.Type, choice, _device, block.Blocks / 2);
        }

        return block;
    }

    /// <summary>
    /// Whether the device runs a cluster at all: its blocks must find room close together, which part of a device may not have, and more
    /// than 8 not every whole one.
    /// </summary>
    private bool HasRoomFor(KernelChoice choice, RowBlock block) => _roomForClusters.GetOrAdd(
        (choice, block),
        static (key, kernel) => kernel._driver.MostClusters(kernel._device.Ordinal, kernel.LaunchOf(key.Choice, key.Block, rows: 1)) > 0,
        this);

    private void LaunchRows(KernelChoice choice, RowBlock block, RowArguments arguments)
    {
        arguments.KeptTiles = block.KeptTiles;
        arguments.Parts = block.Blocks;
        arguments.TilesPerPart = block.TilesPerBlock;
        Launch(LaunchOf(choice, block, arguments.Rows), arguments);
    }

    private CudaLaunch LaunchOf(KernelChoice choice, RowBlock block, long rows)
    {
        (uint x, uint y) = Grid(rows);
        bool isCluster = block.Blocks > 1;
        nint function = _modules.Function(_device.Ordinal, isCluster ? choice.ClusterModule : choice.Module, choice.Kernel("loss"));
        return new CudaLaunch(
            function, x, isCluster ? (uint)block.Blocks : y, block.Threads, _stream, (uint)block.SharedBytes, (uint)block.Blocks);
    }

    /// <summary>
    /// Several blocks to a row: their sums, what these combine to and, if wanted, the gradient, in launches that follow each other. Calls that
    /// share the workspace take turns.
    /// </summary>
    private void LaunchShared(in RowPlan plan, KernelChoice choice, RowSplit split, RowArguments arguments)
    {
        lock (_workspaceLock)
        {
            long partialBytes = arguments.Rows * split.Parts * KernelConstants.RecordBytes;
            arguments.Partials = Workspace(partialBytes + (arguments.Rows * KernelConstants.RecordBytes));
            arguments.Coefficients = (byte*)arguments.Partials + partialBytes;
            arguments.Parts = split.Parts;
            arguments.TilesPerPart = split.TilesPerPart;
            Launch(choice.Module, choice.Kernel("loss"), arguments);
            uint blocks = (uint)((arguments.Rows + CombineRows - 1) / CombineRows);
            Launch(choice.Module, choice.Step("combine"), arguments, blocks, 1, KernelConstants.CombineThreads);
            if (plan.HasGradient)
            {
                LaunchGradient(plan, arguments);
            }
        }
    }

    private void LaunchGradient(in RowPlan plan, RowArguments arguments)
    {
        KernelChoice choice = KernelChoice.OfGradient(plan);
        RowSplit split = SplitOf(plan.Problem, choice, fusesGradient: false);
        arguments.Parts = split.Parts;
        arguments.TilesPerPart = split.TilesPerPart;
        if (arguments.UnlessOne != null)
        {
            LaunchSmall(choice.Module, choice.Kernel("gradient"), arguments);
        }
        else
        {
            Launch(choice.Module, choice.Kernel("gradient"), arguments);
        }
    }

    /// <summary>The states of rows: what every loss needs and, in a pass of its own, the rest.</summary>
    private void LaunchSummary(in RowPlan plan, in RowArguments arguments)
    {
        KernelChoice choice = KernelChoice.OfSummary(plan);
        Launch(choice.Module, choice.Step("summarize"), arguments);
        Launch(choice.Module, "complete", arguments);
    }

    /// <summary>
    /// A loss of which the fused kernels do not sum everything: states, results, gradient, in launches that follow each other. Calls that
    /// share the workspace take turns.
    /// </summary>
    private void LaunchInSteps(in RowPlan plan, RowArguments arguments)
    {
        lock (_workspaceLock)
        {
            if (arguments.States == null)
            {
                arguments.States = (RowState*)Workspace(arguments.Rows * sizeof(RowState));
            }

            LaunchSummary(plan, arguments);
            LaunchOnStates(plan, "finish", arguments);
            if (plan.HasGradient)
            {
                LaunchGradient(plan, arguments);
            }
        }
    }

    /// <summary>Memory to work in, for whoever holds the lock. What was given before may still be in use on the stream: it is kept until the end.</summary>
    private void* Workspace(long bytes)
    {
        if (bytes > _workspaceBytes)
        {
            long size = Math.Max(bytes, 2 * _workspaceBytes); // so all that is kept is no more than the last
            _workspaces.Add((nint)_driver.Allocate(_device.Ordinal, size));
            _workspaceBytes = size;
        }

        return (void*)_workspaces[^1];
    }

    /// <summary>One thread to a row.</summary>
    private void LaunchOnStates(in RowPlan plan, string stage, in RowArguments arguments)
    {
        if (arguments.Rows == 0)
        {
            return;
        }

        KernelChoice choice = stage == "merge" ? KernelChoice.OfMerge(plan) : KernelChoice.OfFinish(plan);
        (uint x, uint y) = Grid((arguments.Rows + KernelConstants.StateThreads - 1) / KernelConstants.StateThreads);
        Launch(choice.Module, choice.Step(stage), arguments, x, y, KernelConstants.StateThreads);
    }

    /// <summary>A grid of at least so many blocks.</summary>
    private static (uint X, uint Y) Grid(long blocks)
    {
        long x = Math.Min(blocks, LargestGridX);
        return ((uint)x, (uint)((blocks + x - 1) / x));
    }

    private void Launch(string module, string kernel, in RowArguments arguments)
    {
        (uint x, uint y) = Grid(arguments.Rows);
        Launch(module, kernel, arguments, x, arguments.Parts > 1 ? (uint)arguments.Parts : y, KernelConstants.RowThreads);
    }

    /// <summary>For what mostly finds nothing to do: as many blocks as run at once, which go on to further rows.</summary>
    private void LaunchSmall(string module, string kernel, in RowArguments arguments)
    {
        long rows = Math.Min(arguments.Rows, Math.Max(1, RowSplit.BlocksPerMultiprocessor * _device.Multiprocessors / arguments.Parts));
        Launch(module, kernel, arguments, (uint)rows, (uint)arguments.Parts, KernelConstants.RowThreads);
    }

    private void Launch(string module, string kernel, in RowArguments arguments, uint x, uint y, uint threads)
    {
        Launch(new CudaLaunch(_modules.Function(_device.Ordinal, module, kernel), x, y, threads, _stream), arguments);
    }

    private void Launch(in CudaLaunch launch, in RowArguments arguments)
    {
        fixed (RowArguments* parameter = &arguments)
        {
            _driver.Launch(_device.Ordinal, launch, parameter, sizeof(RowArguments));
        }
    }

    private void LaunchOne(string kernel, void* parameter, int bytes) => _driver.Launch(
        _device.Ordinal,
        new CudaLaunch(_modules.Function(_device.Ordinal, Reductions, kernel), 1, 1, KernelConstants.ReductionThreads, _stream),
        parameter,
        bytes);
}
