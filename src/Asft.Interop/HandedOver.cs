using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The gradients that this thread's backward pass has just handed to the engine, to be disposed by its next node.</summary>
/// <remarks>
/// <para>
/// TorchSharp copies the native tensor that a backward returns only after that backward is over, so the .NET wrapper has to outlive
/// it, and nobody disposes it then: the memory of every gradient would wait for the garbage collector. Also, while the wrapper lives, the
/// engine sees a gradient that is used elsewhere and gives a leaf a copy of it.
/// </para>
/// <para>
/// Each thread has its own list. Two threads may be in a backward pass over one graph at the same time, and neither knows when the other
/// has copied what it was given; but by the time a thread runs another node, the engine has copied what the last one returned to it.
/// </para>
/// </remarks>
internal static class HandedOver
{
    [ThreadStatic]
    private static List<Tensor>? t_gradients;

    /// <summary>Keeps a gradient until this thread runs another node of ours.</summary>
    public static Tensor Add(Tensor gradient)
    {
        (t_gradients ??= []).Add(gradient);
        return gradient;
    }

    /// <summary>Disposes what this thread's earlier nodes have handed over.</summary>
    public static void Dispose()
    {
        t_gradients?.ForEach(gradient => gradient.Dispose());
        t_gradients?.Clear();
    }
}
