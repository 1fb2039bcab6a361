using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>What torch knows of a tensor and TorchSharp does not tell, from libtorch itself.</summary>
/// <remarks>
/// But for one function, they are methods of at::TensorBase, const and without arguments; a <see cref="Tensor.Handle"/> is the address of such an object.
/// Compilers for Windows and for all other systems have each one way to write the name of a method. A libtorch that lacks them tells
/// less: no version ever changes, a view counts for what TorchSharp says of it, and every graph counts as retained.
/// </remarks>
internal static unsafe class TorchFacts
{
    private static readonly Once<Functions> s_functions = new(static () => new Functions());

    /// <summary>
    /// The version that a tensor shares with its views and detached tensors, and that each in-place operation on any of them raises. Not
    /// for tensors made in inference mode, which have none.
    /// </summary>
    public static long Version(Tensor tensor)
    {
        Functions functions = s_functions.Value;
        long version = functions.AreThere ? functions.Version(tensor.Handle) : 0;
        GC.KeepAlive(tensor);
        return version;
    }

    /// <summary>Whether a tensor is a leaf of the graph, or a view of one.</summary>
    public static bool IsLeafOrViewOfOne(Tensor tensor)
    {
        Functions functions = s_functions.Value;
        if (!functions.AreThere)
        {
            return tensor.is_leaf;
        }

        bool isLeaf = functions.IsLeaf(tensor.Handle) != 0
            || (functions.IsView(tensor.Handle) != 0 && functions.IsLeaf(functions.Base(tensor.Handle)) != 0);
        GC.KeepAlive(tensor);
        return isLeaf;
    }

    /// <summary>Whether the backward pass that the calling thread is in was asked to retain the graph.</summary>
    public static bool RetainsGraph()
    {
        Functions functions = s_functions.Value;
        return functions.RetainsGraph == null || functions.RetainsGraph() != 0;
    }

    private sealed class Functions
    {
        public bool AreThere => Version != null && IsLeaf != null && IsView != null && Base != null;

        public delegate* unmanaged<nint, long> Version { get; } =
            (delegate* unmanaged<nint, long>)LibTorch.Find("_ZNK2at10TensorBase8_versionEv", "?_version@TensorBase@at@@QEBA_JXZ");

        public delegate* unmanaged<nint, byte> IsLeaf { get; } =
            (delegate* unmanaged<nint, byte>)LibTorch.Find("_ZNK2at10TensorBase7is_leafEv", "?is_leaf@TensorBase@at@@QEBA_NXZ");

        public delegate* unmanaged<nint, byte> IsView { get; } =
            (delegate* unmanaged<nint, byte>)LibTorch.Find("_ZNK2at10TensorBase7is_viewEv", "?is_view@TensorBase@at@@QEBA_NXZ");

        /// <summary>Only for a view: a tensor that lives as long as it.</summary>
        public delegate* unmanaged<nint, nint> Base { get; } =
            (delegate* unmanaged<nint, nint>)LibTorch.Find("_ZNK2at10TensorBase5_baseEv", "?_base@TensorBase@at@@QEBAAEBVTensor@2@XZ");

        public delegate* unmanaged<byte> RetainsGraph { get; } = (delegate* unmanaged<byte>)LibTorch.Find(
            "_ZN5torch8autograd33get_current_graph_task_keep_graphEv", "?get_current_graph_task_keep_graph@autograd@torch@@YA_NXZ");
    }
}
