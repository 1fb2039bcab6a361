using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// The second of a loss's two nodes. Its value is the constant 1, which multiplies the loss, and its gradient is nothing at all; it is there
/// for the memory. It saves the gradients computed along with the loss, apart from what <see cref="LossFunction"/> saves, as the two are not
/// always wanted together. And its backward disposes what that node's backward handed to the engine.
/// </summary>
/// <remarks>
/// <para>
/// TorchSharp copies the native tensor that a backward returns only after that backward is over, so the .NET wrapper has to outlive
/// it, and nobody disposes it then: the memory of every gradient would wait for the garbage collector. Also, while the wrapper lives, the
/// engine sees a gradient that is used elsewhere and gives a leaf a copy of it. This node is made before the loss's, so it runs directly
/// after it, in the same thread; and as both lead to the same inputs, before anything is done with the gradient.
/// </para>
/// <para>
/// Each thread has its own list of gradients. Two threads may be in a backward pass over one graph at the same time, and neither knows when
/// the other has copied what it was given; but by the time a thread runs another node, the engine has copied what the last one returned to it.
/// </para>
/// </remarks>
internal sealed class GradientRelease : SingleTensorFunction<GradientRelease>
{
    private const string Arguments = "arguments";

    [ThreadStatic]
    private static List<Tensor>? t_gradients;

    /// <inheritdoc/>
    public override string Name => nameof(GradientRelease);

    /// <summary>Keeps a gradient that is handed to the engine until this thread runs another node of ours.</summary>
    public static Tensor Later(Tensor gradient)
    {
        (t_gradients ??= []).Add(gradient);
        return gradient;
    }

    /// <summary>Disposes what this thread's earlier nodes have handed over.</summary>
    public static void ReleaseAll()
    {
        t_gradients?.ForEach(gradient => gradient.Dispose());
        t_gradients?.Clear();
    }

    /// <inheritdoc/>
    public override Tensor forward(AutogradContext ctx, params object[] vars)
    {
        var graph = (GradientGraph)vars[^1];
        graph.ReleaseContext = ctx;
        ctx.set_materialize_grads(false);
        ctx.save_data(Arguments, vars.Length);
        ctx.save_for_backward(graph.Gradients);
        return TensorMemory.Scalar(1, graph.Loss.dtype, graph.Loss.device);
    }

    /// <inheritdoc/>
    public override List<Tensor> backward(AutogradContext ctx, Tensor grad_output)
    {
        grad_output.Dispose();
        ReleaseAll();
        return [.. Enumerable.Repeat<Tensor>(null!, (int)ctx.get_data(Arguments))];
    }
}
