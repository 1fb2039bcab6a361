using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// TorchSharp's own native library, LibTorchSharp, and functions of it that TorchSharp's .NET face does not give out, or only with a
/// detour that costs more than a small loss. They take the <see cref="Tensor.Handle"/> of a tensor.
/// </summary>
internal static unsafe class LibTorchSharp
{
    private static readonly nint s_library = NativeLibrary.Load("LibTorchSharp", typeof(Tensor).Assembly, searchPath: null);

    /// <summary>Address of a tensor's first element, on whatever device.</summary>
    public static readonly delegate* unmanaged<nint, void*> Data = (delegate* unmanaged<nint, void*>)Function("THSTensor_data");

    /// <summary>Frees a handle, and the tensor if it was the last one.</summary>
    public static readonly delegate* unmanaged<nint, void> Dispose = (delegate* unmanaged<nint, void>)Function("THSTensor_dispose");

    /// <summary>A handle of a new tensor over the same memory.</summary>
    public static readonly delegate* unmanaged<nint, nint> Alias = (delegate* unmanaged<nint, nint>)Function("THSTensor_alias");

    /// <summary>Address of a function.</summary>
    /// <exception cref="NotSupportedException">The library has none of that name.</exception>
    public static nint Function(string name) => NativeLibrary.TryGetExport(s_library, name, out nint address)
        ? address
        : throw new NotSupportedException(
            $"LibTorchSharp of TorchSharp {typeof(Tensor).Assembly.GetName().Version} has no function {name}, which Asft needs; it is tested with TorchSharp 0.107.");
}
