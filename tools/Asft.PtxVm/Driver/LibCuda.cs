using System.Reflection;
using System.Runtime.InteropServices;
using Asft.Kernels;
using Asft.Kernels.Cuda;
using Asft.Kernels.Cuda.Driver;

namespace Asft.PtxVm.Driver;

/// <summary>
/// The virtual machine as the driver's library: where the system's loader finds the <c>libcuda.so.1</c> that scripts/fake-libcuda.sh compiles,
/// its functions come here, and every client in the process that loads it by name has virtual machines for devices.
/// </summary>
/// <remarks>
/// It is as strict as a driver is, and stricter: handles of each kind are numbers of their own, a handle of one context in another is an
/// error, page-locked memory is full of rubbish, and the text of an error says what a kernel did. Work is done when a call returns.
/// </remarks>
internal static unsafe partial class LibCuda
{
    /// <summary>What the library puts before the name of a function or number.</summary>
    private const string Prefix = "asft_";

    private static readonly Once<nint> s_library = new(Find);
    private static readonly List<Device> s_devices = [];

    /// <summary>Whether <c>libcuda.so.1</c> is the one that comes here.</summary>
    public static bool IsThere => s_library.Value != 0;

    /// <summary>Makes a machine's devices those of the library.</summary>
    /// <param name="machine">The machine.</param>
    /// <returns>The ordinal of its first device.</returns>
    /// <exception cref="InvalidOperationException">The library is another one, or there is none.</exception>
    public static int Add(PtxMachine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        if (!IsThere)
        {
            throw new InvalidOperationException(
                $"{CudaApi.LibraryName} is not the virtual machine's: compile it with scripts/fake-libcuda.sh, and name its folder in LD_LIBRARY_PATH.");
        }

        lock (s_devices)
        {
            var first = s_devices.Count;
            s_devices.AddRange(machine.Devices.Select(device => new Device(machine, device)));
            return first;
        }
    }

    /// <summary>A number of <c>cuda.h</c>.</summary>
    /// <param name="name">Its name there.</param>
    /// <returns>The number.</returns>
    public static int Constant(string name) => (int)*(nint*)NativeLibrary.GetExport(s_library.Value, Prefix + name);

    private static nint Find()
    {
        var isOurs = NativeLibrary.TryLoad(CudaApi.LibraryName, out var library)
            && NativeLibrary.TryGetExport(library, Prefix + "cuInit", out _);
        if (!isOurs)
        {
            return 0;
        }

        foreach (var method in typeof(LibCuda).GetMethods(BindingFlags.NonPublic | BindingFlags.Static))
        {
            if (method.GetCustomAttribute<UnmanagedCallersOnlyAttribute>() is { EntryPoint: { } name })
            {
                *(nint*)NativeLibrary.GetExport(library, Prefix + name) = method.MethodHandle.GetFunctionPointer();
            }
        }

        return library;
    }

    /// <summary>A device of a machine.</summary>
    private sealed record Device(PtxMachine Machine, CudaDevice Properties)
    {
        public int Ordinal => Properties.Ordinal;

        /// <summary>The handle of its primary context, once there is one.</summary>
        public nint Primary { get; set; }
    }

    /// <summary>A context: what belongs to one is of no use in another.</summary>
    private sealed record Context(Device Device)
    {
        public PtxMachine Machine => Device.Machine;

        public int Ordinal => Device.Ordinal;
    }
}
