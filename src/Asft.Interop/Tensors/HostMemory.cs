using System.Runtime.InteropServices;

namespace Asft.Interop;

/// <summary>Memory of the host that no tensor is needed for, which would take ten times as long to make. Not initialized.</summary>
/// <param name="bytes">How much.</param>
internal sealed unsafe class HostMemory(long bytes) : IDisposable
{
    /// <summary>Its address; null once it is freed.</summary>
    public void* Pointer { get; private set; } = NativeMemory.Alloc((nuint)bytes);

    /// <summary>Frees it.</summary>
    public void Dispose()
    {
        NativeMemory.Free(Pointer);
        Pointer = null;
    }
}
