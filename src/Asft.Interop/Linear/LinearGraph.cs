using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>What the backward pass of a linear loss needs to know.</summary>
internal sealed class LinearGraph : GradientGraph
{
    private readonly bool[] _present;

    /// <summary>Prepares the inputs for being saved.</summary>
    /// <param name="inputs">The inputs; the reference only if the objective reads it.</param>
    /// <param name="needs">Which of them need a gradient.</param>
    public LinearGraph(LinearInputs inputs, GradientNeeds needs)
    {
        Needs = needs;
        Types = [.. needs.Select(inputs).Select(tensor => tensor.dtype)];
        List<Tensor?> toSave = inputs.ToSave(needs.Hidden, needs.Weight, needs.Bias);
        _present = [.. toSave.Select(tensor => tensor is not null)];
        Saved = [.. toSave.OfType<Tensor>()];
    }

    public required ITokenLossKernel Kernel { get; init; }

    public required LossObjective Objective { get; init; }

    public required LinearLossOptions Options { get; init; }

    public required CountedRows Rows { get; init; }

    public GradientNeeds Needs { get; }

    /// <summary>Dtypes of the gradients.</summary>
    public ScalarType[] Types { get; }

    /// <summary>Factor of every row: 1/tokens for a mean, otherwise 1.</summary>
    public required double Scale { get; init; }

    /// <summary>One upstream gradient per token, rather than one for all.</summary>
    public required bool PerToken { get; init; }

    /// <summary>The inputs, from what the graph gave back.</summary>
    public LinearInputs Inputs(List<Tensor> saved)
    {
        int next = 0;
        return LinearInputs.FromSaved([.. _present.Select(present => present ? saved[next++] : null)]);
    }

    /// <inheritdoc/>
    protected override Tensor Apply(object[] arguments) => LinearLossFunction.apply(arguments);
}
