using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>
/// What the backward pass of one linear loss needs to know. Like <see cref="LossGraph"/>, it holds tensors only until the native
/// graph has saved them.
/// </summary>
internal sealed class LinearGraph
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

    /// <summary>The computed loss, which <see cref="LinearLossFunction"/> turns into a node of the graph.</summary>
    public required Tensor Loss { get; init; }

    /// <summary>
    /// What <see cref="LinearGradientHolder"/> saves: gradients in the accumulator's dtype, for an upstream gradient of 1.
    /// </summary>
    public required List<Tensor> Gradients { get; init; }

    /// <summary>What <see cref="LinearLossFunction"/> saves; see <see cref="Inputs"/>.</summary>
    public List<Tensor> Saved { get; }

    /// <summary>The context that has saved the gradients; null if there are none.</summary>
    public AutogradContext? HolderContext { get; set; }

    /// <summary>The computed gradients went to an earlier backward pass.</summary>
    public bool IsSpent { get; set; }

    /// <summary>The gradients just handed to the engine; see <see cref="GradientHolder"/>.</summary>
    public List<Tensor> HandedOver { get; } = [];

    /// <summary>The inputs, from what the graph gave back.</summary>
    public LinearInputs Inputs(List<Tensor> saved)
    {
        int next = 0;
        return LinearInputs.FromSaved([.. _present.Select(present => present ? saved[next++] : null)]);
    }

    /// <summary>
    /// Puts the computed loss into the graph. Autograd must be on. The result belongs to the current dispose scope. For the order
    /// and the multiplication, see <see cref="LossGraph.Attach"/>.
    /// </summary>
    /// <param name="inputs">The inputs that need a gradient, as the caller gave them.</param>
    /// <returns>The loss, with its graph.</returns>
    public Tensor Attach(IEnumerable<Tensor> inputs)
    {
        object[] arguments = [.. inputs, this];
        Tensor one = LinearGradientHolder.apply(arguments);
        Tensor loss = LinearLossFunction.apply(arguments);
        Tensor result = loss.mul(one);
        Gradients.Clear();
        Saved.Clear();
        return result;
    }
}
