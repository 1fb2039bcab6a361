using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>Makes a tensor the one output of a node.</summary>
internal static unsafe class NodeOutput
{
    [ThreadStatic]
    private static nint[]? t_handle;

    /// <summary>Makes a tensor, which has no graph yet, the output of a node.</summary>
    /// <exception cref="ExternalException">Torch's own error.</exception>
    public static void Set(Tensor tensor, NodeHandle node)
    {
        nint handle = tensor.Handle;
        NodeFunctions.SetOutputs(default, default, default, new HandleArray { Handles = &handle, Length = 1 }, node, &Place);
        GC.KeepAlive(tensor);
        CheckForErrors();
        LibTorchSharp.Dispose(t_handle![0]); // another handle of the same tensor
    }

    [UnmanagedCallersOnly]
    private static nint* Place(nuint count) =>
        (nint*)Marshal.UnsafeAddrOfPinnedArrayElement(t_handle ??= GC.AllocateArray<nint>(1, pinned: true), 0);
}
