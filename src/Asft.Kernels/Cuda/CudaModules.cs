using System.Collections.Concurrent;
using System.IO.Compression;
using System.Runtime.CompilerServices;

namespace Asft.Kernels.Cuda;

/// <summary>
/// The kernels of one driver's devices. A module holds the kernels of one storage type and is loaded, that is compiled by the driver for
/// the device, when the first of them is used.
/// </summary>
/// <param name="driver">The driver.</param>
/// <param name="readPtx">Gives the PTX of a module by its name.</param>
internal sealed class CudaModules(ICudaDriver driver, Func<string, string> readPtx)
{
    private static readonly ConditionalWeakTable<ICudaDriver, CudaModules> s_shipped = [];

    private readonly ConcurrentDictionary<(int Device, string Module), Once<nint>> _modules = new();
    private readonly ConcurrentDictionary<(int Device, string Module, string Kernel), nint> _functions = new();

    /// <summary>The kernels that this library ships, one set for each driver.</summary>
    /// <param name="driver">The driver.</param>
    /// <returns>The set.</returns>
    public static CudaModules Shipped(ICudaDriver driver) => s_shipped.GetValue(driver, static of => new CudaModules(of, ReadShipped));

    /// <summary>Reads PTX that this library ships, compressed.</summary>
    /// <param name="module">Name of the module.</param>
    /// <returns>The text.</returns>
    public static string ReadShipped(string module)
    {
        string name = module + ".ptx.gz";
        using Stream stream = typeof(CudaModules).Assembly.GetManifestResourceStream(name)
            ?? throw new CudaException($"The library was built without {name}.");
        using var reader = new StreamReader(new GZipStream(stream, CompressionMode.Decompress));
        return reader.ReadToEnd();
    }

    /// <summary>Finds a kernel; loads its module if need be. Safe to call from several threads.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="module">Name of the module.</param>
    /// <param name="kernel">Name of the kernel in it.</param>
    /// <returns>The kernel's handle.</returns>
    public nint Function(int device, string module, string kernel) => _functions.GetOrAdd(
        (device, module, kernel),
        key => driver.GetFunction(key.Device, Module(key.Device, key.Module), key.Kernel));

    /// <summary>Whether a module is loaded.</summary>
    /// <param name="device">Ordinal of the device.</param>
    /// <param name="module">Name of the module.</param>
    /// <returns>True when it is.</returns>
    public bool IsLoaded(int device, string module) => _modules.TryGetValue((device, module), out Once<nint>? loaded) && loaded.IsMade;

    private nint Module(int device, string module) => _modules.GetOrAdd(
        (device, module),
        key => new Once<nint>(() => driver.LoadModule(key.Device, readPtx(key.Module)))).Value;
}
