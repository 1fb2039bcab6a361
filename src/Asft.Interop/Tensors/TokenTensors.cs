using System.Runtime.CompilerServices;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The per-token tensors of one loss; those that nobody asked for are null.</summary>
internal sealed class TokenTensors
{
    /// <summary>Makes room for what is needed.</summary>
    /// <param name="labels">The labels, whose shape and device the tensors get.</param>
    /// <param name="type">The dtype of the arithmetic.</param>
    /// <param name="metrics">The caller gets the metrics.</param>
    /// <param name="statistics">A weighting gets the statistics.</param>
    /// <param name="backward">The kernel's backward may be called.</param>
    /// <param name="losses">The losses are wanted as a tensor even without metrics.</param>
    public TokenTensors(Tensor labels, ScalarType type, bool metrics, bool statistics, bool backward, bool losses)
    {
        Loss = Create(metrics || losses);
        LogSumExp = Create(metrics || statistics);
        Weight = Create(metrics || backward || statistics);
        Kl = Create(metrics || statistics);
        State = backward || statistics
            ? TensorMemory.Empty([labels.numel(), Unsafe.SizeOf<RowState>() / sizeof(double)], ScalarType.Float64, labels.device)
            : null;
        LogProbability = Create(metrics || statistics);
        Entropy = Create(metrics || statistics);
        SquaredProbabilitySum = Create(statistics);
        ReferenceLogProbability = Create(statistics);
        Predicted = metrics ? TensorMemory.Empty(TensorMemory.Shape(labels), ScalarType.Int64, labels.device) : null;

        Tensor? Create(bool wanted) => wanted ? TensorMemory.Empty(TensorMemory.Shape(labels), type, labels.device) : null;
    }

    public Tensor? Loss { get; }

    public Tensor? LogProbability { get; }

    public Tensor? Weight { get; }

    public Tensor? Kl { get; }

    public Tensor? LogSumExp { get; }

    public Tensor? Entropy { get; }

    public Tensor? SquaredProbabilitySum { get; }

    public Tensor? ReferenceLogProbability { get; }

    public Tensor? Predicted { get; }

    /// <summary>The rows' <see cref="RowState"/>, one in each row of the tensor.</summary>
    public Tensor? State { get; }

    /// <summary>The tensors as a kernel's outputs.</summary>
    /// <param name="first">The first token of those that the kernel works on.</param>
    public unsafe TokenOutputs Outputs(long first = 0) => new()
    {
        Loss = TensorMemory.PointerOrNull(Loss, first),
        LogProbability = TensorMemory.PointerOrNull(LogProbability, first),
        Weight = TensorMemory.PointerOrNull(Weight, first),
        Kl = TensorMemory.PointerOrNull(Kl, first),
        LogSumExp = TensorMemory.PointerOrNull(LogSumExp, first),
        Entropy = TensorMemory.PointerOrNull(Entropy, first),
        SquaredProbabilitySum = TensorMemory.PointerOrNull(SquaredProbabilitySum, first),
        ReferenceLogProbability = TensorMemory.PointerOrNull(ReferenceLogProbability, first),
        Predicted = (long*)TensorMemory.PointerOrNull(Predicted, first),
        State = StateAt(first),
    };

    /// <summary>Where the states go, or are.</summary>
    public unsafe RowState* StateAt(long first = 0) => State is null ? null : (RowState*)TensorMemory.Pointer(State) + first;

    /// <summary>What a weighting is given.</summary>
    /// <param name="reference">The reference.</param>
    /// <param name="objective">The objective.</param>
    /// <param name="shaped">From one of the tensors to one of the labels' shape.</param>
    public TokenStatistics Statistics(TokenReference? reference, LossObjective objective, Func<Tensor, Tensor> shaped)
    {
        bool isExact = objective.KlEstimator == KlEstimator.Exact;
        bool hasLabel = reference is not (null or EntriesReference);
        bool hasKl = reference switch { null => false, LabelReference => !isExact, EntriesReference => isExact, _ => true };
        return new TokenStatistics(
            shaped(LogProbability!),
            shaped(LogSumExp!),
            hasLabel ? shaped(ReferenceLogProbability!) : null,
            hasKl ? shaped(Kl!) : null,
            shaped(Entropy!),
            shaped(SquaredProbabilitySum!));
    }

    /// <summary>Gives the tensors of the result to the scope around the current one.</summary>
    public void MoveMetricsToOuterDisposeScope()
    {
        foreach (Tensor? tensor in (ReadOnlySpan<Tensor?>)[Loss, LogProbability, Weight, Kl, LogSumExp, Entropy, Predicted])
        {
            tensor!.MoveToOuterDisposeScope();
        }
    }
}
