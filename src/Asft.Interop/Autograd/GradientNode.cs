using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The native node that stands for a loss in the autograd graph, whichever loss it is. The engine calls it for the gradients of the loss's
/// inputs, and torch tells it when nothing leads to it any more.
/// </summary>
/// <remarks>
/// A native node knows its .NET side by two addresses of functions alone, and making those of delegates takes longer than all the rest of a
/// small loss. So an object of this class, once made, serves one native node after another for as long as the process lives.
/// </remarks>
internal sealed unsafe class GradientNode
{
    private static readonly ConcurrentBag<GradientNode> s_free = [];
    private static readonly ConcurrentBag<GradientNode> s_all = []; // native code knows the addresses: nothing here may be collected
    private static int s_alive;

    /// <summary>
    /// A gradient that no input can have, as each has at least one dimension: handed to the engine in place of a gradient, it makes
    /// the engine raise an error. Lives as long as the process.
    /// </summary>
    private static readonly Lazy<Tensor> s_impossible = new(static () => TensorMemory.Scalar(double.NaN, ScalarType.Float32, CPU).DetachFromDisposeScope());

    private readonly ApplyFunction _apply;
    private readonly DeleteFunction _delete;
    private readonly nint _applyAddress;
    private readonly nint _deleteAddress;
    private readonly List<nint> _saved = [];
    private NodeHandle _handle;
    private GradientGraph? _graph;
    private int _next;

    private GradientNode()
    {
        _apply = Apply;
        _delete = Delete;
        _applyAddress = Marshal.GetFunctionPointerForDelegate(_apply);
        _deleteAddress = Marshal.GetFunctionPointerForDelegate(_delete);
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate HandleArray ApplyFunction(nint* upstream, int count);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void DeleteFunction();

    /// <summary>How many native nodes there are.</summary>
    public static int Alive => Volatile.Read(ref s_alive);

    /// <summary>Puts a loss into the graph. Autograd must be on.</summary>
    /// <param name="graph">Its backward pass.</param>
    /// <param name="loss">The computed loss, which gets the graph.</param>
    /// <param name="inputs">The inputs that need a gradient.</param>
    /// <param name="saved">What the backward pass may ask for with <see cref="Saved"/>.</param>
    public static void Attach(GradientGraph graph, Tensor loss, ReadOnlySpan<Tensor> inputs, List<Tensor> saved)
    {
        nint* next = stackalloc nint[inputs.Length + 1];
        for (int i = 0; i < inputs.Length; i++)
        {
            next[i] = inputs[i].Handle;
        }

        // The order matters: of the nodes that are ready, the engine runs the one that was made last.
        using Tensor release = ReleaseNode.Before(new HandleArray { Handles = next, Length = inputs.Length }, loss);
        next[inputs.Length] = release.Handle;
        if (!s_free.TryTake(out GradientNode? node))
        {
            node = new GradientNode();
            s_all.Add(node);
        }

        node.Start(graph, loss, new HandleArray { Handles = next, Length = inputs.Length + 1 }, saved);
    }

    /// <summary>The saved tensors. They belong to the current dispose scope.</summary>
    /// <exception cref="ExternalException">One of them was changed since: torch's own error.</exception>
    public List<Tensor> Saved()
    {
        List<Tensor> tensors = new(_saved.Count);
        foreach (nint saved in _saved)
        {
            nint handle = NodeFunctions.Unpack(saved, _handle);
            CheckForErrors();
            tensors.Add(Tensor.UnsafeCreateTensor(handle));
        }

        return tensors;
    }

    private void Start(GradientGraph graph, Tensor loss, HandleArray next, List<Tensor> saved)
    {
        (_graph, _next) = (graph, (int)next.Length);
        graph.Node = this;
        _handle = NodeFunctions.Create(_applyAddress, _deleteAddress);
        Interlocked.Increment(ref s_alive);
        NodeFunctions.SetNextEdges(_handle, next, 1);
        NodeOutput.Set(loss, _handle);
        foreach (Tensor tensor in saved)
        {
            _saved.Add(NodeFunctions.Save(tensor.Handle, _handle, 0));
        }

        NodeFunctions.Release(_handle);
        CheckForErrors();
    }

    /// <summary>The engine asks for the gradients. Nothing may be thrown at it.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "The caller is native code: what left here would end the process.")]
    private HandleArray Apply(nint* upstream, int count)
    {
        HandleArray gradients = ReleaseNode.Results(_next); // the last one goes to the release, which wants none
        if (*upstream == 0)
        {
            return gradients;
        }

        try
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor gradient = Tensor.UnsafeCreateTensor(*upstream);
            ReadOnlySpan<Tensor> computed = CollectionsMarshal.AsSpan(_graph!.ComputeGradients(TensorMemory.Resolved(gradient)));
            for (int i = 0; i < computed.Length; i++)
            {
                gradients.Handles[i] = ReleaseNode.Later(computed[i]);
            }
        }
        catch (Exception error)
        {
            AsftRuntime.ReportBackwardError(_graph!.Function, error);
            for (int i = 0; i < _next - 1; i++)
            {
                gradients.Handles[i] = s_impossible.Value.Handle;
            }
        }

        return gradients;
    }

    /// <summary>Torch says that nothing leads to the node any more. This frees what it has kept, at once.</summary>
    private void Delete()
    {
        foreach (nint saved in _saved)
        {
            NodeFunctions.DisposeSaved(saved);
        }

        _saved.Clear();
        NodeFunctions.Forget(_handle);
        _graph?.Dispose();
        _graph = null;
        Interlocked.Decrement(ref s_alive);
        s_free.Add(this);
    }
}
