using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>What the backward pass of a loss on logits needs to know.</summary>
internal sealed class LossGraph : GradientGraph
{
    private readonly double _denominator;
    private readonly bool _savesFactor;

    /// <summary>Prepares what is to be saved.</summary>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="labels">Its labels, one for each row.</param>
    /// <param name="tokens">Its per-token results.</param>
    /// <param name="scale">What every row's gradient is scaled with.</param>
    /// <param name="isEager">See <see cref="IsEager"/>.</param>
    /// <param name="write">See <see cref="Write"/>.</param>
    public LossGraph(LossArguments arguments, Tensor labels, TokenTensors tokens, TokenScale scale, bool isEager, InPlaceWrite? write)
    {
        Objective = arguments.Objective;
        IsEager = isEager;
        Write = write;
        _denominator = scale.Denominator;
        bool isFinal = isEager && OverwritesLogits; // no logits are left to compute another gradient from
        _savesFactor = scale.Factor is not null && !isFinal;
        Saved = isFinal ? [] : SavedTensors.List(arguments, labels, tokens, scale, OverwritesLogits ? InPlaceWrite.Alias(arguments.Logits) : arguments.Logits);
    }

    public required LossDevice Device { get; init; }

    public LossObjective Objective { get; }

    /// <summary>One upstream gradient per row, rather than one for all.</summary>
    public required bool PerToken { get; init; }

    /// <summary>The gradient was computed along with the loss, and the <see cref="GradientHolder"/> has saved it.</summary>
    public bool IsEager { get; }

    /// <summary>
    /// The logits, where the gradient takes their place; the last tensor that the <see cref="GradientHolder"/> has saved is their
    /// <see cref="InPlaceWrite.Witness"/> then.
    /// </summary>
    public InPlaceWrite? Write { get; }

    /// <summary>The gradient takes the place of the logits.</summary>
    public bool OverwritesLogits => Write is not null;

    /// <summary>The saved tensors, from the context that has saved them.</summary>
    public SavedTensors SavedBy(AutogradContext context) => SavedTensors.Of(context.get_saved_variables(), _savesFactor);

    /// <summary>What every row's gradient is scaled with.</summary>
    public TokenScale Scale(SavedTensors saved) => saved.Factor is null ? TokenScale.DividedBy(_denominator) : TokenScale.Times(saved.Factor);

    /// <inheritdoc/>
    protected override Tensor Apply(object[] arguments) => TokenLossFunction.apply(arguments);
}
