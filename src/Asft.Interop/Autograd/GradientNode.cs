using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Asft.Kernels;
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
    private static readonly Once<Tensor> s_impossible = new(static () => TensorMemory.Scalar(double.NaN, ScalarType.Float32, CPU).DetachFromDisposeScope());

    private readonly ApplyFunction _apply;
    private readonly DeleteFunction _delete;
    private readonly nint _applyAddress;
    private readonly nint _deleteAddress;
    private readonly List<nint> _saved = [];
    private readonly List<(int Thread, nint Handle)> _later = [];
    private NodeHandle _handle;
    private GradientGraph? _graph;
    private int _next;
    private bool _isFreed;

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
    /// <exception cref="ExternalException">An input may not be written to, and was: torch's own error.</exception>
    public static void Attach(GradientGraph graph, Tensor loss, ReadOnlySpan<Tensor> inputs, List<Tensor> saved)
    {
        nint* next = stackalloc nint[inputs.Length + 1];
        HandleArray edges = new() { Handles = next, Length = inputs.Length };
        for (int i = 0; i < inputs.Length; i++)
        {
            next[i] = inputs[i].Handle;
        }

        // The order matters: of the nodes that are ready, the engine runs the one that was made last.
        using Tensor? release = graph.IsLarge ? ReleaseNode.Before(edges, loss) : null;
        if (release is not null)
        {
            next[edges.Length++] = release.Handle;
        }

        if (!s_free.TryTake(out GradientNode? node))
        {
            node = new GradientNode();
            s_all.Add(node);
        }

        node.Start(graph, loss, edges, saved);
        foreach (Tensor input in inputs)
        {
            GC.KeepAlive(input); // the handles were all that was used of them
        }
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
        (_graph, _next, _isFreed) = (graph, (int)next.Length, false);
        graph.Node = this;
        _handle = NodeFunctions.Create(_applyAddress, _deleteAddress);
        Interlocked.Increment(ref s_alive);
        try
        {
            NodeFunctions.SetNextEdges(_handle, next, 1);
            CheckForErrors();
            NodeOutput.Set(loss, _handle);
            foreach (Tensor tensor in saved)
            {
                _saved.Add(NodeFunctions.Save(tensor.Handle, _handle, 0));
            }

            CheckForErrors();
        }
        finally
        {
            NodeFunctions.Release(_handle);
        }
    }

    /// <summary>The engine asks for the gradients. Nothing may be thrown at it.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "The caller is native code: what left here would end the process.")]
    private HandleArray Apply(nint* upstream, int count)
    {
        HandleArray gradients = ReleaseNode.Results(_next); // one more than there are inputs goes to a release, which wants none
        if (*upstream == 0)
        {
            return gradients;
        }

        GradientGraph graph = _graph!;
        try
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor gradient = Tensor.UnsafeCreateTensor(*upstream);
            lock (_saved) // as torch's own nodes do: one backward pass must not free what another one reads
            {
                ThrowIfFreed();
                ReadOnlySpan<Tensor> computed = CollectionsMarshal.AsSpan(graph.ComputeGradients(TensorMemory.Resolved(gradient)));
                Release(Environment.CurrentManagedThreadId);
                for (int i = 0; i < computed.Length; i++)
                {
                    gradients.Handles[i] = graph.IsLarge ? ReleaseNode.Later(computed[i]) : Later(computed[i]);
                }

                if (!TorchFacts.RetainsGraph())
                {
                    Free();
                }
            }
        }
        catch (Exception error)
        {
            AsftRuntime.ReportBackwardError(graph.Function, error);
            for (int i = 0; i < _next - (graph.IsLarge ? 1 : 0); i++)
            {
                gradients.Handles[i] = s_impossible.Value.Handle;
            }
        }

        return gradients;
    }

    /// <summary>Takes over a small gradient that is about to be handed to the engine.</summary>
    /// <returns>Its handle.</returns>
    private nint Later(Tensor gradient)
    {
        nint handle = ReleaseNode.Decouple(gradient);
        _later.Add((Environment.CurrentManagedThreadId, handle));
        return handle;
    }

    /// <summary>Lets go of what a thread has handed over: when it comes again, the engine has copied it.</summary>
    /// <param name="thread">The thread; null for all, when there will be no backward pass any more.</param>
    private void Release(int? thread)
    {
        for (int i = _later.Count - 1; i >= 0; i--)
        {
            if (thread is null || _later[i].Thread == thread)
            {
                LibTorchSharp.Dispose(_later[i].Handle);
                _later.RemoveAt(i);
            }
        }
    }

    /// <summary>Torch says that nothing leads to the node any more.</summary>
    private void Delete()
    {
        Free();
        Release(thread: null);
        NodeFunctions.Forget(_handle);
        _graph = null;
        Interlocked.Decrement(ref s_alive);
        s_free.Add(this);
    }

    /// <summary>Frees what was kept, as torch's own nodes do after a backward pass that does not retain the graph.</summary>
    private void Free()
    {
        lock (_saved)
        {
            _saved.ForEach(static saved => NodeFunctions.DisposeSaved(saved));
            _saved.Clear();
            _graph?.Dispose();
            _isFreed = true;
        }
    }

    private void ThrowIfFreed()
    {
        if (_isFreed)
        {
            throw new InvalidOperationException(
                "This is a backward pass through the graph a second time, and the first has freed what it needs. Let the first retain it: loss.backward(retain_graph: true).");
        }
    }
}
