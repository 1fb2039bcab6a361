using System.Runtime.InteropServices;

namespace Asft.Interop;

/// <summary>
/// LibTorchSharp's nodes of the autograd graph, on which TorchSharp builds its <c>autograd.Function</c>, without what that adds: objects,
/// lists and delegates for each call, which cost several times what a small loss does. A test compares these declarations with TorchSharp's own.
/// </summary>
internal static unsafe class NodeFunctions
{
    /// <summary>Makes a node of a function that computes its gradients and one that is told of its end.</summary>
    public static readonly delegate* unmanaged<nint, nint, NodeHandle> Create =
        (delegate* unmanaged<nint, nint, NodeHandle>)LibTorchSharp.Function("THSAutograd_CSharpNode_ctor");

    /// <summary>Lets go of a node: from then on it lives as long as the graph that it is in.</summary>
    public static readonly delegate* unmanaged<NodeHandle, void> Release =
        (delegate* unmanaged<NodeHandle, void>)LibTorchSharp.Function("THSAutograd_CSharpNode_disposeSharedPtr");

    /// <summary>Frees the weak pointer.</summary>
    public static readonly delegate* unmanaged<NodeHandle, void> Forget =
        (delegate* unmanaged<NodeHandle, void>)LibTorchSharp.Function("THSAutograd_CSharpNode_disposeWeakPtr");

    /// <summary>Leads a node's gradients to where tensors came from.</summary>
    public static readonly delegate* unmanaged<NodeHandle, HandleArray, byte, void> SetNextEdges =
        (delegate* unmanaged<NodeHandle, HandleArray, byte, void>)LibTorchSharp.Function("THSAutograd_CSharpNode_setNextEdges");

    /// <summary>Makes tensors the outputs of a node: inputs, outputs without a gradient, overwritten ones, outputs, node, place for handles to the outputs.</summary>
    public static readonly delegate* unmanaged<HandleArray, HandleArray, HandleArray, HandleArray, NodeHandle, delegate* unmanaged<nuint, nint*>, void> SetOutputs =
        (delegate* unmanaged<HandleArray, HandleArray, HandleArray, HandleArray, NodeHandle, delegate* unmanaged<nuint, nint*>, void>)
        LibTorchSharp.Function("THSAutograd_Function_wrapOutputs");

    /// <summary>Saves a tensor for a node's backward pass.</summary>
    public static readonly delegate* unmanaged<nint, NodeHandle, byte, nint> Save =
        (delegate* unmanaged<nint, NodeHandle, byte, nint>)LibTorchSharp.Function("THSAutograd_SavedVariable_ctor");

    /// <summary>Gives back a saved tensor; null, and torch's error, if it was changed since.</summary>
    public static readonly delegate* unmanaged<nint, NodeHandle, nint> Unpack =
        (delegate* unmanaged<nint, NodeHandle, nint>)LibTorchSharp.Function("THSAutograd_SavedVariable_unpack");

    /// <summary>Frees what <see cref="Save"/> returned.</summary>
    public static readonly delegate* unmanaged<nint, void> DisposeSaved =
        (delegate* unmanaged<nint, void>)LibTorchSharp.Function("THSAutograd_SavedVariable_dispose");
}

/// <summary>A node: a shared pointer, which keeps it alive, and a weak one.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct NodeHandle
{
    public nint Shared;
    public nint Weak;
}

/// <summary>Handles of tensors; 0 stands for no tensor.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct HandleArray
{
    public nint* Handles;
    public long Length;
}
