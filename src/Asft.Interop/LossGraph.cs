using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>What the backward pass of a loss on logits needs to know.</summary>
internal sealed class LossGraph : GradientGraph
{
    public required ITokenLossKernel Kernel { get; init; }

    public required LossObjective Objective { get; init; }

    /// <summary>Factor of every row: 1/tokens for a mean, otherwise 1.</summary>
    public required double Scale { get; init; }

    /// <summary>One upstream gradient per row, rather than one for all.</summary>
    public required bool PerToken { get; init; }

    /// <summary>The gradient was computed along with the loss, and the <see cref="GradientHolder"/> has saved it.</summary>
    public required bool IsEager { get; init; }

    /// <summary>The gradient takes the place of the logits.</summary>
    public required bool OverwritesLogits { get; init; }

    /// <inheritdoc/>
    protected override Tensor Apply(object[] arguments) => TokenLossFunction.apply(arguments);
}
