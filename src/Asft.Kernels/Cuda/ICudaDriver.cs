namespace Asft.Kernels.Cuda;

/// <summary>
/// What launch code needs of a CUDA driver, and nothing else: the native driver implements it for GPUs, a virtual machine for PTX
/// where there is none. Safe to call from several threads.
/// </summary>
/// <remarks>
/// Work on one device and stream happens in the order of its calls; nothing here waits for it but <see cref="Synchronize"/>.
/// A call leaves the calling thread's current CUDA context as it found it. Handles belong to the device they were made for.
/// </remarks>
internal unsafe interface ICudaDriver
{
    /// <summary>What runs, for people: for example <c>CUDA driver 12.4</c>.</summary>
    string Name { get; }

    /// <summary>The devices, by ordinal.</summary>
    IReadOnlyList<CudaDevice> Devices { get; }

    /// <summary>Loads PTX into the primary context of a device, where the driver compiles it for that device.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="ptx">The PTX text.</param>
    /// <returns>The module's handle; modules stay loaded as long as the process.</returns>
    /// <exception cref="CudaException">The driver refuses the PTX.</exception>
    nint LoadModule(int device, string ptx);

    /// <summary>Finds a kernel.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="moduleHandle">A handle that <see cref="LoadModule"/> gave.</param>
    /// <param name="name">Name of the kernel in the PTX.</param>
    /// <returns>The kernel's handle.</returns>
    /// <exception cref="CudaException">There is no such kernel.</exception>
    nint GetFunction(int device, nint moduleHandle, string name);

    /// <summary>Starts a kernel that takes one parameter, a struct by value.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="launch">Which kernel, and where.</param>
    /// <param name="parameter">The struct, in host memory; copied before this returns.</param>
    /// <param name="parameterBytes">Its size.</param>
    /// <exception cref="CudaException">The launch is refused, or an earlier one failed.</exception>
    void Launch(int device, in CudaLaunch launch, void* parameter, int parameterBytes);

    /// <summary>How many clusters of a launch the device runs at the same time.</summary>
    /// <param name="device">Ordinal of the device, of compute capability 9.0 or above.</param>
    /// <param name="launch">The launch.</param>
    /// <returns>The number; 0 where it cannot run one.</returns>
    /// <exception cref="CudaException">The launch would be refused for another reason.</exception>
    int MostClusters(int device, in CudaLaunch launch);

    /// <summary>Allocates device memory, with unspecified contents.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="bytes">How much, above 0.</param>
    /// <returns>Its address, aligned to 256 bytes.</returns>
    /// <exception cref="CudaException">There is not so much.</exception>
    void* Allocate(int device, long bytes);

    /// <summary>Frees what <see cref="Allocate"/> gave.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="memory">The address.</param>
    void Free(int device, void* memory);

    /// <summary>Allocates page-locked host memory, which kernels may use too; its contents are 0.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="bytes">How much, above 0.</param>
    /// <returns>Its address, for the host and for kernels.</returns>
    void* AllocateHost(int device, long bytes);

    /// <summary>Frees what <see cref="AllocateHost"/> gave.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="memory">The address.</param>
    void FreeHost(int device, void* memory);

    /// <summary>Waits until everything on a stream is done.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="stream">The stream.</param>
    /// <exception cref="CudaException">Something on it failed.</exception>
    void Synchronize(int device, nint stream);
}

/// <summary>A CUDA device.</summary>
/// <param name="Ordinal">Its number, as torch counts.</param>
/// <param name="Name">What its driver calls it.</param>
/// <param name="Major">Major number of its compute capability.</param>
/// <param name="Minor">Minor number of its compute capability.</param>
/// <param name="Multiprocessors">How many multiprocessors it has.</param>
/// <param name="MemoryBytes">Size of its memory.</param>
/// <param name="SharedBytes">The most shared memory that a block may have where it asks for it, in bytes.</param>
internal sealed record CudaDevice(int Ordinal, string Name, int Major, int Minor, int Multiprocessors, long MemoryBytes, int SharedBytes);

/// <summary>Where a kernel runs.</summary>
/// <param name="Function">The kernel's handle.</param>
/// <param name="GridX">Blocks along x, up to 2^31 - 1.</param>
/// <param name="GridY">Blocks along y, up to 65535.</param>
/// <param name="BlockX">Threads of a block.</param>
/// <param name="Stream">The stream; 0 is the default stream of the device's primary context.</param>
/// <param name="SharedBytes">Shared memory of a block beside what the kernel declares, up to the device's limit for both together.</param>
/// <param name="ClusterY">
/// Blocks along y that run at the same time and reach each other's shared memory; 1 for none. Divides <paramref name="GridY"/>.
/// </param>
internal readonly record struct CudaLaunch(
    nint Function, uint GridX, uint GridY, uint BlockX, nint Stream, uint SharedBytes = 0, uint ClusterY = 1)
{
    /// <summary>The most blocks of a cluster that every whole device with clusters runs. CUDA C++ Programming Guide, "Thread Block Clusters".</summary>
    public const int PortableCluster = 8;
}

/// <summary>The CUDA driver refused something, or a kernel failed.</summary>
public sealed class CudaException : Exception
{
    /// <summary>An error without a message.</summary>
    public CudaException()
    {
    }

    /// <summary>An error.</summary>
    /// <param name="message">What was tried, and the driver's name and text for the error.</param>
    public CudaException(string message)
        : base(message)
    {
    }

    /// <summary>An error that another one caused.</summary>
    /// <param name="message">What was tried, and the driver's name and text for the error.</param>
    /// <param name="innerException">The cause.</param>
    public CudaException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
