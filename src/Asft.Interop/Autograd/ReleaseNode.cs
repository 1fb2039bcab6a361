using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The node that runs after a loss's <see cref="GradientNode"/> and before anything is done with the gradients. It lets go of them: torch
/// copies the handles that a node returns only when that node is over, so nobody could do so before. While ours were there, the memory of each
/// gradient would stay, and a leaf would be given a copy, as the engine would see a tensor that is used elsewhere. For small gradients that
/// is less than the node would cost: they stay until the loss is disposed.
/// </summary>
/// <remarks>
/// <para>
/// It leads to the same inputs, so none of them is ready before it ran, and its own gradients are nothing at all.
/// </para>
/// <para>
/// Each thread has its own handles. Two threads may be in a backward pass over one graph at the same time, and neither knows when
/// the other has copied what it was given; but by the time a thread runs another node, the engine has copied what the last one returned to it.
/// </para>
/// </remarks>
internal static unsafe class ReleaseNode
{
    [ThreadStatic]
    private static List<nint>? t_later;

    [ThreadStatic]
    private static nint[]? t_results;

    /// <summary>A tensor that leads to a new node of this kind and from there to some inputs.</summary>
    /// <param name="inputs">The inputs.</param>
    /// <param name="loss">The loss: the engine has a thread for each device, and both nodes must run in the same.</param>
    /// <exception cref="ExternalException">An input lets nobody write to it, and was written to: torch's own error.</exception>
    public static Tensor Before(HandleArray inputs, Tensor loss)
    {
        NodeHandle node = NodeFunctions.Create(ApplyFor(inputs.Length), (nint)(delegate* unmanaged<void>)&Delete);
        try
        {
            NodeFunctions.SetNextEdges(node, inputs, 1);
            CheckForErrors();
            Tensor output = TensorMemory.Empty([1], loss.dtype, loss.device);
            NodeOutput.Set(output, node);
            return output;
        }
        finally
        {
            NodeFunctions.Release(node);
            NodeFunctions.Forget(node);
        }
    }

    /// <summary>Takes over a gradient that is about to be handed to the engine.</summary>
    /// <returns>Its handle.</returns>
    public static nint Later(Tensor gradient)
    {
        nint handle = Decouple(gradient);
        (t_later ??= []).Add(handle);
        return handle;
    }

    /// <summary>
    /// A handle of the tensor's memory in place of its .NET object, which is disposed. (TorchSharp counts one whose handle is taken from it among
    /// the living, and its counts are what people look for leaks with.)
    /// </summary>
    public static nint Decouple(Tensor tensor)
    {
        nint handle = LibTorchSharp.Alias(tensor.Handle);
        CheckForErrors();
        tensor.Dispose();
        return handle;
    }

    /// <summary>The calling thread's place for the handles that a node returns, all of them 0.</summary>
    public static HandleArray Results(int count)
    {
        ReleaseAll();
        if (t_results is null || t_results.Length < count)
        {
            t_results = GC.AllocateArray<nint>(count, pinned: true);
        }

        t_results.AsSpan(0, count).Clear();
        return new HandleArray { Handles = (nint*)Marshal.UnsafeAddrOfPinnedArrayElement(t_results, 0), Length = count };
    }

    /// <summary>Lets go of what this thread's earlier nodes have handed over.</summary>
    private static void ReleaseAll()
    {
        if (t_later is { Count: > 0 })
        {
            t_later.ForEach(static handle => LibTorchSharp.Dispose(handle));
            t_later.Clear();
        }
    }

    /// <summary>The node's function. It is told nothing of its node, so there is one for each number of gradients.</summary>
    private static nint ApplyFor(long inputs) => inputs switch
    {
        1 => (nint)(delegate* unmanaged<nint*, int, HandleArray>)&ApplyToOne,
        2 => (nint)(delegate* unmanaged<nint*, int, HandleArray>)&ApplyToTwo,
        3 => (nint)(delegate* unmanaged<nint*, int, HandleArray>)&ApplyToThree,
        _ => throw new ArgumentOutOfRangeException(nameof(inputs), inputs, "A loss has from 1 to 3 inputs that need a gradient."),
    };

    [UnmanagedCallersOnly]
    private static HandleArray ApplyToOne(nint* upstream, int count) => Apply(*upstream, 1);

    [UnmanagedCallersOnly]
    private static HandleArray ApplyToTwo(nint* upstream, int count) => Apply(*upstream, 2);

    [UnmanagedCallersOnly]
    private static HandleArray ApplyToThree(nint* upstream, int count) => Apply(*upstream, 3);

    private static HandleArray Apply(nint upstream, int inputs)
    {
        if (upstream != 0)
        {
            LibTorchSharp.Dispose(upstream);
        }

        return Results(inputs);
    }

    [UnmanagedCallersOnly]
    private static void Delete()
    {
    }
}
