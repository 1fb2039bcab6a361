using Asft.Kernels;
using Asft.Kernels.Cpu;
using Asft.Kernels.Cuda.Driver;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>A device that losses can be computed on.</summary>
/// <param name="Id">What <see cref="AsftRuntime.Use"/> calls it, for example <c>cpu</c> or <c>ilgpu:opencl:0</c>.</param>
/// <param name="Name">What it is, for people.</param>
public sealed record AsftDevice(string Id, string Name);

/// <summary>
/// Which device computes the losses of tensors in host memory. Left alone, it is the processor through its SIMD kernel, since any
/// other device would first have to be sent the logits: a loss reads each of them once, so the way there costs more than the
/// work.
/// </summary>
/// <remarks>
/// There is nothing to choose for tensors on a CUDA device: their losses are computed where they are, by the CUDA kernels;
/// <see cref="Describe"/> tells whether there are any. Devices of ILGPU are there where the package Asft.Ilgpu is installed; its CUDA devices do not
/// serve CUDA tensors: ILGPU works in a CUDA context of its own, in which torch's memory cannot be used.
/// </remarks>
public static class AsftRuntime
{
    /// <summary>Names the device where <see cref="Use"/> does not; read when the first loss is computed.</summary>
    public const string EnvironmentVariable = "ASFT_DEVICE";

    private const string Automatic = "auto";
    private const string Simd = "cpu";

    private static readonly Lock s_lock = new();
    private static readonly CpuTokenLossKernel s_simd = new(TorchTeam.Instance);

    // A device once opened stays open: a graph that waits for its backward pass holds its kernel.
    private static readonly Dictionary<string, ITokenLossKernel> s_kernels = new() { [Simd] = s_simd };

    private static Choice? s_choice;

    /// <summary>Every device that there is for tensors in host memory. The first look at it searches for drivers, which takes a while.</summary>
    public static IReadOnlyList<AsftDevice> Devices =>
        [new AsftDevice(Simd, s_simd.Name), .. (IDeviceSource.Ilgpu?.Devices ?? []).Select(device => new AsftDevice(device.Id, device.Name))];

    /// <summary>
    /// How many bytes of host memory are kept from one training step to the next while no tensor uses them, at least 0. Default 1 GiB. They were
    /// gradients or blocks of logits, and will be: memory fresh from the system costs a page fault for each page that is written, several times what
    /// the loss itself does. Nothing is kept that no step has used.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative.</exception>
    public static long MemoryCacheLimit
    {
        get => TensorPool.Limit;
        set => TensorPool.Limit = value >= 0 ? value : throw new ArgumentOutOfRangeException(
            nameof(value), Invariant($"MemoryCacheLimit must be at least 0; got {value}."));
    }

    /// <summary>How many bytes are kept now.</summary>
    public static long CachedMemory => TensorPool.FreeBytes;

    /// <summary>Gives the memory that is kept back to the system, for example before an evaluation that computes no loss.</summary>
    public static void EmptyMemoryCache() => TensorPool.Clear();

    /// <summary>
    /// What made the latest backward pass of a loss fail, anywhere in the process; null if none did. Torch's engine lets no exception of .NET's
    /// through: <c>loss.backward()</c> throws the engine's own, about an "invalid gradient", and this is what it stands for.
    /// </summary>
    public static Exception? LastBackwardError { get; private set; }

    /// <summary>Chooses the device of all losses of tensors in host memory from now on. Backward passes stay where their forward pass was.</summary>
    /// <param name="name">The <see cref="AsftDevice.Id"/> of one of <see cref="Devices"/>, or <c>auto</c> for the fastest.</param>
    /// <exception cref="ArgumentException">There is no such device.</exception>
    public static void Use(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        lock (s_lock)
        {
            s_choice = new Choice(
                Open(name) ?? throw new ArgumentException(NoSuchDevice(nameof(name), name), nameof(name)),
                name == Automatic ? Fastest : $"chosen with AsftRuntime.Use(\"{name}\")");
        }
    }

    /// <summary>
    /// Tells what computes the losses: for tensors in host memory what was chosen and why, for those on each CUDA device the kernels,
    /// the dtypes they take, the device's name and compute capability, and the driver; or why there are none.
    /// </summary>
    /// <returns>One line for each kind of tensor.</returns>
    /// <exception cref="InvalidOperationException"><c>ASFT_DEVICE</c> names no device.</exception>
    public static string Describe()
    {
        Choice choice = Current();
        return $"CPU tensors: {choice.Kernel.Name}, {choice.Reason}.{Environment.NewLine}{CudaKernels.Describe(NativeCudaDriver.Instance, cuda.is_available())}";
    }

    /// <summary>Keeps and tells what made a backward pass fail.</summary>
    internal static void ReportBackwardError(string function, Exception error)
    {
        LastBackwardError = error;
        Console.Error.WriteLine(
            $"{function}: the backward pass failed, and \"invalid gradient\" stands for this: {error.Message} {nameof(AsftRuntime)}.{nameof(LastBackwardError)} has all of it.");
    }

    /// <summary>The kernel for tensors in host memory.</summary>
    /// <exception cref="InvalidOperationException"><c>ASFT_DEVICE</c> names no device.</exception>
    internal static ITokenLossKernel HostKernel => Current().Kernel;

    private const string Fastest = "the fastest for tensors in host memory";

    private static Choice Current()
    {
        lock (s_lock)
        {
            return s_choice ??= FromEnvironment(Environment.GetEnvironmentVariable(EnvironmentVariable));
        }
    }

    private static Choice FromEnvironment(string? name) => string.IsNullOrEmpty(name)
        ? new Choice(s_simd, Fastest)
        : new Choice(
            Open(name) ?? throw new InvalidOperationException(NoSuchDevice(EnvironmentVariable, name)),
            $"chosen with {EnvironmentVariable}={name}");

    private static ITokenLossKernel? Open(string name)
    {
        string id = name == Automatic ? Simd : name;
        if (!s_kernels.TryGetValue(id, out ITokenLossKernel? kernel) && (kernel = IDeviceSource.Ilgpu?.Open(id)) is not null)
        {
            s_kernels.Add(id, kernel);
        }

        return kernel;
    }

    private static string NoSuchDevice(string what, string name) =>
        $"{what} is \"{name}\", which is no device; there are {Automatic}, {string.Join(", ", Devices.Select(device => device.Id))}."
        + (IDeviceSource.Ilgpu is null ? " Devices of ILGPU come with the package Asft.Ilgpu." : string.Empty);

    private sealed record Choice(ITokenLossKernel Kernel, string Reason);
}
