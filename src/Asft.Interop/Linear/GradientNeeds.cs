using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Which inputs of a linear loss need a gradient. What nobody needs is not computed: a frozen head costs no product.
/// </summary>
internal readonly record struct GradientNeeds(bool Hidden, bool Weight, bool Bias)
{
    /// <summary>True if any does.</summary>
    public bool Any => Hidden || Weight || Bias;

    /// <summary>How many do.</summary>
    public int Count => (Hidden ? 1 : 0) + (Weight ? 1 : 0) + (Bias ? 1 : 0);

    /// <summary>What is needed now: nothing while autograd is off.</summary>
    public static GradientNeeds Of(LinearInputs inputs) => is_grad_enabled()
        ? new(inputs.Hidden.requires_grad, inputs.Weight.requires_grad, inputs.Bias is { requires_grad: true })
        : default;

    /// <summary>The inputs that need a gradient, in the order hidden, weight, bias.</summary>
    public IEnumerable<Tensor> Select(LinearInputs inputs)
    {
        if (Hidden)
        {
            yield return inputs.Hidden;
        }

        if (Weight)
        {
            yield return inputs.Weight;
        }

        if (Bias)
        {
            yield return inputs.Bias!;
        }
    }
}
