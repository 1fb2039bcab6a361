using System.Runtime.InteropServices;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Functions of libtorch that TorchSharp has no face for, by their names as compilers write them.</summary>
internal static class LibTorch
{
    // LibTorchSharp leads to all that it depends on, but on Windows, where a library tells only its own names.
    private static readonly Once<nint> s_library = new(static () => NativeLibrary.TryLoad(
        OperatingSystem.IsWindows() ? "torch_cpu" : "LibTorchSharp", typeof(Tensor).Assembly, searchPath: null, out nint library) ? library : 0);

    /// <summary>Address of a function; 0 in a libtorch that lacks it.</summary>
    /// <param name="name">Its name on all systems but Windows.</param>
    /// <param name="nameOnWindows">Its name there.</param>
    public static nint Find(string name, string nameOnWindows) =>
        s_library.Value != 0 && NativeLibrary.TryGetExport(s_library.Value, OperatingSystem.IsWindows() ? nameOnWindows : name, out nint address)
            ? address
            : 0;
}
