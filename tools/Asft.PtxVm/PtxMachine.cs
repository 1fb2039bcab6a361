using System.Runtime.InteropServices;
using System.Text;
using Asft.Kernels.Cuda;
using Asft.PtxVm.Decoding;
using Asft.PtxVm.Execution;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm;

/// <summary>
/// A machine that executes PTX over host memory, and checks and counts what the kernels do. Everything a call starts is done when it
/// returns. Safe to call from several threads, which take turns.
/// </summary>
internal sealed unsafe partial class PtxMachine : ICudaDriver, IDisposable
{
    private const int MostThreads = 1024;

    /// <summary>Major number of the first compute capability that has clusters.</summary>
    private const int FirstWithClusters = 9;

    private readonly Lock _lock = new();
    private readonly List<Kernel[]> _modules = [];
    private readonly List<(int Device, int Module, Kernel Kernel)> _functions = [];
    private readonly Dictionary<nint, long> _hostMemory = [];
    private readonly List<LaunchCounts> _launches = [];
    private readonly Dictionary<string, LaunchCounts> _totals = [];
    private readonly Dictionary<string, (Kernel Kernel, long[] Counts)> _profiles = [];
    private long _launchNumber;

    /// <summary>A machine with default options.</summary>
    public PtxMachine()
        : this(new PtxMachineOptions())
    {
    }

    /// <summary>A machine.</summary>
    /// <param name="options">How it runs.</param>
    public PtxMachine(PtxMachineOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.InstructionBudget);
        Options = options;
        Memory = new MachineMemory(_lock, options.Checks.HasFlag(PtxChecks.Initialization));
    }

    /// <summary>How it runs.</summary>
    public PtxMachineOptions Options { get; }

    /// <summary>The memory that kernels may use.</summary>
    public MachineMemory Memory { get; }

    /// <inheritdoc/>
    public string Name => "PTX virtual machine";

    /// <inheritdoc/>
    public IReadOnlyList<CudaDevice> Devices => Options.Devices;

    /// <summary>
    /// The counts of each launch that ended without a fault since the last <see cref="ResetCounts"/>, in order.
    /// </summary>
    public IReadOnlyList<LaunchCounts> Launches
    {
        get
        {
            lock (_lock)
            {
                return [.. _launches];
            }
        }
    }

    /// <summary>The counts of the last launch.</summary>
    /// <exception cref="InvalidOperationException">Nothing was launched since the last <see cref="ResetCounts"/>.</exception>
    public LaunchCounts LastLaunch
    {
        get
        {
            lock (_lock)
            {
                return _launches.Count > 0 ? _launches[^1] : throw new InvalidOperationException("Nothing was launched.");
            }
        }
    }

    /// <summary>
    /// The counts of all launches of each kernel since the last <see cref="ResetCounts"/>, by the kernel's name.
    /// </summary>
    public IReadOnlyDictionary<string, LaunchCounts> CountsByKernel
    {
        get
        {
            lock (_lock)
            {
                return new Dictionary<string, LaunchCounts>(_totals);
            }
        }
    }

    /// <summary>Forgets all counts.</summary>
    public void ResetCounts()
    {
        lock (_lock)
        {
            _launches.Clear();
            _totals.Clear();
            _profiles.Clear();
        }
    }

    /// <summary>
    /// A kernel's instructions, one a line, each with how many lanes executed it since the last <see cref="ResetCounts"/>.
    /// </summary>
    /// <param name="kernel">The kernel's name.</param>
    /// <returns>Lines of: lane-instructions, warp-instructions, line of the PTX, instruction.</returns>
    public string Profile(string kernel)
    {
        lock (_lock)
        {
            var text = new StringBuilder();
            if (_profiles.TryGetValue(kernel, out var profile))
            {
                for (var i = 0; i < profile.Kernel.Instructions.Length; i++)
                {
                    var instruction = profile.Kernel.Instructions[i];
                    text.Append(
                        System.Globalization.CultureInfo.InvariantCulture,
                        $"{profile.Counts[2 * i + 1],12} {profile.Counts[2 * i],10} {instruction.Line,6}  {instruction.Text}\n");
                }
            }

            return text.ToString();
        }
    }

    /// <inheritdoc/>
    public nint LoadModule(int device, string ptx)
    {
        ArgumentNullException.ThrowIfNull(ptx);
        CheckDevice(device);
        lock (_lock)
        {
            CheckTarget(Devices[device], ptx);
            var kernels = ModuleCache.Find(ptx);
            if (kernels is null)
            {
                var syntax = PtxParser.Read(ptx);
                PlaceVariables(syntax);
                kernels = [.. syntax.Kernels.Select(Decoding.Decoder.Decode)];
                if (!syntax.Variables.Exists(variable => variable.IsNamed))
                {
                    ModuleCache.Add(ptx, kernels);
                }
            }

            _modules.Add(kernels);
            return _modules.Count;
        }
    }

    /// <inheritdoc/>
    public nint GetFunction(int device, nint moduleHandle, string name)
    {
        CheckDevice(device);
        lock (_lock)
        {
            if (moduleHandle < 1 || moduleHandle > _modules.Count)
            {
                throw new CudaException($"There is no module {moduleHandle}.");
            }

            var kernel = Array.Find(_modules[(int)moduleHandle - 1], kernel => kernel.Name == name)
                ?? throw new CudaException($"Module {moduleHandle} has no kernel '{name}'.");
            _functions.Add((device, (int)moduleHandle, kernel));
            return _functions.Count;
        }
    }

    /// <inheritdoc/>
    /// <exception cref="PtxFaultException">The kernel did what a GPU would not forgive.</exception>
    public void Launch(int device, in CudaLaunch launch, void* parameter, int parameterBytes)
    {
        CheckDevice(device);
        lock (_lock)
        {
            var known = launch.Function >= 1 && launch.Function <= _functions.Count;
            if (!known || _functions[(int)launch.Function - 1].Device != device)
            {
                throw new CudaException($"Device {device} has no function {launch.Function}.");
            }

            var kernel = _functions[(int)launch.Function - 1].Kernel;
            CheckLaunch(Devices[device], kernel, launch, parameterBytes);
            Run(kernel, launch, new ReadOnlySpan<byte>(parameter, parameterBytes));
        }
    }

    /// <inheritdoc/>
    public int MostClusters(int device, in CudaLaunch launch)
    {
        CheckDevice(device);
        return launch.ClusterY > LargestCluster(Devices[device]) ? 0 : Math.Max(1, Devices[device].Multiprocessors / (int)launch.ClusterY);
    }

    /// <inheritdoc/>
    public void* Allocate(int device, long bytes)
    {
        CheckDevice(device);
        return Memory.Allocate(bytes, $"an allocation of {bytes} bytes");
    }

    /// <inheritdoc/>
    public void Free(int device, void* memory)
    {
        CheckDevice(device);
        Memory.Free(memory);
    }

    /// <inheritdoc/>
    public void* AllocateHost(int device, long bytes)
    {
        CheckDevice(device);
        if (bytes <= 0)
        {
            throw new CudaException($"Cannot allocate {bytes} bytes.");
        }

        lock (_lock)
        {
            var memory = NativeMemory.AllocZeroed((nuint)bytes);
            _hostMemory.Add((nint)memory, bytes);
            Memory.Register(memory, bytes, "page-locked memory");
            return memory;
        }
    }

    /// <inheritdoc/>
    public void FreeHost(int device, void* memory)
    {
        CheckDevice(device);
        lock (_lock)
        {
            if (!_hostMemory.Remove((nint)memory))
            {
                throw new CudaException($"Nothing page-locked is allocated at 0x{(ulong)memory:x}.");
            }

            Memory.Unregister(memory);
            NativeMemory.Free(memory);
        }
    }

    /// <summary>Sets bytes of memory that kernels may use.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="memory">The first byte.</param>
    /// <param name="value">The value of each byte.</param>
    /// <param name="bytes">How many.</param>
    /// <param name="stream">The stream; whatever is on it has been done.</param>
    public void Fill(int device, void* memory, byte value, long bytes, nint stream)
    {
        CheckDevice(device);
        lock (_lock)
        {
            var region = Memory.Require(memory, bytes, nameof(Fill));
            NativeMemory.Fill(memory, (nuint)bytes, value);
            if (region.Written != null)
            {
                region.MarkWritten((ulong)memory, bytes);
            }
        }
    }

    /// <summary>Copies memory that kernels may use to page-locked memory.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="host">Where to.</param>
    /// <param name="memory">Where from.</param>
    /// <param name="bytes">How many.</param>
    /// <param name="stream">The stream; whatever is on it has been done.</param>
    public void CopyToHost(int device, void* host, void* memory, long bytes, nint stream)
    {
        CheckDevice(device);
        lock (_lock)
        {
            var region = Memory.Require(memory, bytes, nameof(CopyToHost));
            if (!_hostMemory.Any(entry => (nint)host >= entry.Key && (nint)host + bytes <= entry.Key + entry.Value))
            {
                throw new CudaException(
                    $"{nameof(CopyToHost)}: 0x{(ulong)host:x} with {bytes} bytes is not inside page-locked memory.");
            }

            if (region.Written != null && !region.IsWritten((ulong)memory, bytes))
            {
                throw new CudaException(
                    $"{nameof(CopyToHost)}: nothing has written all of these {bytes} bytes of {region.Name}.");
            }

            NativeMemory.Copy(memory, host, (nuint)bytes);
        }
    }

    /// <inheritdoc/>
    public void Synchronize(int device, nint stream) => CheckDevice(device);

    /// <summary>Frees all memory that the machine allocated.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            Memory.FreeAll();
            foreach (var memory in _hostMemory.Keys)
            {
                Memory.Unregister((void*)memory);
                NativeMemory.Free((void*)memory);
            }

            _hostMemory.Clear();
        }
    }

    private void Run(Kernel kernel, in CudaLaunch launch, ReadOnlySpan<byte> parameter)
    {
        var blocks = launch.GridX * (long)launch.GridY;
        var random = new Random(Options.Seed * 31 + (int)_launchNumber++);
        using var memory = new LaunchMemory(
            kernel, Memory, Options, ((int)launch.BlockX + 31) / 32, kernel.SharedBytes + (int)launch.SharedBytes, (int)launch.ClusterY, parameter);
        var cluster = new Cluster(kernel, Options, (launch.GridX, launch.GridY, launch.BlockX), memory, random);
        var order = new int[blocks / launch.ClusterY];
        for (var i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }

        random.Shuffle(order);
        try
        {
            foreach (var index in order)
            {
                cluster.Run(index);
            }

            memory.CountInstructions(kernel);
        }
        finally
        {
            foreach (var region in Memory.Regions)
            {
                var (read, written) = region.EndLaunch();
                memory.Counts.DistinctSectorsRead += read;
                memory.Counts.DistinctSectorsWritten += written;
            }
        }

        memory.Counts.Blocks = blocks;
        memory.Counts.Threads = blocks * launch.BlockX;
        Remember(kernel, memory);
    }

    private void Remember(Kernel kernel, LaunchMemory memory)
    {
        if (!Options.Counts)
        {
            return;
        }

        _launches.Add(memory.Counts);
        if (!_totals.TryGetValue(kernel.Name, out var totals))
        {
            totals = _totals[kernel.Name] = new LaunchCounts(kernel.Name);
        }

        totals.Add(memory.Counts);
        if (!_profiles.TryGetValue(kernel.Name, out var profile) || profile.Kernel != kernel)
        {
            profile = _profiles[kernel.Name] = (kernel, new long[2 * kernel.Instructions.Length]);
        }

        for (var i = 0; i < profile.Counts.Length; i++)
        {
            profile.Counts[i] += memory.Profile[i];
        }
    }

    // PTX runs on what it was made for, and on everything newer.
    private static void CheckTarget(CudaDevice device, string ptx)
    {
        var target = Target().Match(ptx);
        if (target.Success && int.Parse(target.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture) > 10 * device.Major + device.Minor)
        {
            throw new CudaException($"PTX for sm_{target.Groups[1].Value} on a device of compute capability {device.Major}.{device.Minor}.");
        }
    }

    [System.Text.RegularExpressions.GeneratedRegex(@"^\s*\.target\s+sm_(\d+)", System.Text.RegularExpressions.RegexOptions.Multiline)]
    private static partial System.Text.RegularExpressions.Regex Target();

    private void CheckDevice(int device)
    {
        if (device < 0 || device >= Devices.Count)
        {
            throw new CudaException($"There is no device {device}; this machine has {Devices.Count}.");
        }
    }

    private void CheckLaunch(CudaDevice device, Kernel kernel, in CudaLaunch launch, int parameterBytes)
    {
        var most = Math.Min(MostThreads, kernel.MaxThreads);
        if (launch.BlockX == 0 || launch.BlockX > most)
        {
            throw Refused(kernel, $"a block of {launch.BlockX} threads, where the kernel takes 1 to {most}");
        }

        if (kernel.RequiredThreads > 0 && launch.BlockX != kernel.RequiredThreads)
        {
            throw Refused(kernel, $"a block of {launch.BlockX} threads, where the kernel takes {kernel.RequiredThreads}");
        }

        // grids of more blocks than an int counts are beyond this machine, though not beyond a GPU
        if (launch.GridX == 0 || launch.GridY is 0 or > ushort.MaxValue || launch.GridX * (long)launch.GridY > int.MaxValue)
        {
            throw Refused(kernel, $"a grid of {launch.GridX} x {launch.GridY} blocks");
        }

        if (kernel.SharedBytes + (long)launch.SharedBytes > device.SharedBytes)
        {
            throw Refused(kernel, $"{kernel.SharedBytes + (long)launch.SharedBytes} bytes of shared memory, above {device.SharedBytes}");
        }

        if (launch.ClusterY != 1 && (launch.ClusterY == 0 || launch.ClusterY > LargestCluster(device) || launch.GridY % launch.ClusterY != 0))
        {
            throw Refused(
                kernel,
                $"clusters of {launch.ClusterY} blocks in a grid of {launch.GridX} x {launch.GridY}, where a device of compute capability {device.Major}.{device.Minor} has up to {LargestCluster(device)}");
        }

        if (parameterBytes != kernel.ParameterBytes)
        {
            throw Refused(kernel, $"{parameterBytes} bytes of parameters, where the kernel takes {kernel.ParameterBytes}");
        }
    }

    private int LargestCluster(CudaDevice device) => device.Major >= FirstWithClusters ? Options.LargestCluster : 1;

    private static CudaException Refused(Kernel kernel, string what) => new($"Launch of {kernel.Name} refused: {what}.");

    private void PlaceVariables(SyntaxModule module)
    {
        foreach (var variable in module.Variables.Where(variable => variable.Bytes > 0))
        {
            var constant = variable.Space == StateSpace.Constant;
            variable.Address = (ulong)Memory.Allocate(
                variable.Bytes, variable.Name, variable.Initial ?? new byte[variable.Bytes], constant);
        }

        foreach (var variable in module.Variables)
        {
            foreach (var (offset, symbol, addend) in variable.Symbols)
            {
                var target = module.Variables.Find(candidate => candidate.Name == symbol)
                    ?? throw new CudaException(
                        $"The contents of {variable.Name} name {symbol}, which is no variable of the module.");
                *(ulong*)(variable.Address + (ulong)offset) = target.Address + (ulong)addend;
            }
        }
    }
}
