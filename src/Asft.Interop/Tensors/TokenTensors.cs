using System.Runtime.CompilerServices;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The per-token tensors of one loss, shaped like the labels; those that nobody asked for are null.</summary>
internal sealed class TokenTensors
{
    /// <summary>Makes room for what is needed.</summary>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="metrics">The caller gets all of them.</param>
    /// <param name="backward">The kernel's backward may be called.</param>
    /// <param name="losses">The losses are wanted as a tensor even without metrics.</param>
    public TokenTensors(LossArguments arguments, bool metrics, bool backward, bool losses)
    {
        Loss = metrics || losses ? Create(arguments) : null;
        LogSumExp = metrics ? Create(arguments) : null;
        Weight = metrics || backward ? Create(arguments) : null;
        Kl = metrics ? Create(arguments) : null;
        State = backward
            ? TensorMemory.Empty([arguments.Labels.numel(), Unsafe.SizeOf<RowState>() / sizeof(double)], ScalarType.Float64, arguments.Labels.device)
            : null;
        LogProbability = metrics ? Create(arguments) : null;
        Predicted = metrics ? TensorMemory.Empty(TensorMemory.Shape(arguments.Labels), ScalarType.Int64, arguments.Labels.device) : null;
        if (Kl is not null && arguments.Reference is null)
        {
            Kl.zero_();
        }
    }

    public Tensor? Loss { get; }

    public Tensor? LogProbability { get; }

    public Tensor? Weight { get; }

    public Tensor? Kl { get; }

    public Tensor? LogSumExp { get; }

    public Tensor? Predicted { get; }

    /// <summary>The rows' <see cref="RowState"/>, one in each row of the tensor.</summary>
    public Tensor? State { get; }

    /// <summary>The tensors as a kernel's outputs.</summary>
    /// <param name="losses">Where the losses go, whether or not that is a tensor.</param>
    /// <param name="withReference">The kernel is given reference logits, without which there is no KL to compute.</param>
    public unsafe TokenOutputs Outputs(void* losses, bool withReference) => new()
    {
        Loss = losses,
        LogProbability = TensorMemory.PointerOrNull(LogProbability),
        Weight = TensorMemory.PointerOrNull(Weight),
        Kl = withReference ? TensorMemory.PointerOrNull(Kl) : null,
        LogSumExp = TensorMemory.PointerOrNull(LogSumExp),
        Predicted = (long*)TensorMemory.PointerOrNull(Predicted),
        State = (RowState*)TensorMemory.PointerOrNull(State),
    };

    /// <summary>Gives the tensors of the result to the scope around the current one.</summary>
    public void MoveMetricsToOuterDisposeScope()
    {
        foreach (Tensor? tensor in (ReadOnlySpan<Tensor?>)[Loss, LogProbability, Weight, Kl, LogSumExp, Predicted])
        {
            tensor!.MoveToOuterDisposeScope();
        }
    }

    private static Tensor Create(LossArguments arguments) =>
        TensorMemory.Empty(TensorMemory.Shape(arguments.Labels), arguments.Accumulator, arguments.Labels.device);
}
