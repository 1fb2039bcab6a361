using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>Divides a vector by its root mean square, computed in float32, and multiplies each channel by a weight.</summary>
internal sealed class RmsNorm : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight;
    private readonly double epsilon;

    public RmsNorm(long width, double epsilon, ScalarType type)
        : base(nameof(RmsNorm))
    {
        this.epsilon = epsilon;
        weight = new Parameter(ones([width], type));
        register_parameter(nameof(weight), weight);
    }

    public override Tensor forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        Tensor exact = hidden.to(ScalarType.Float32);
        Tensor normalized = exact * exact.square().mean([-1], keepdim: true).add(epsilon).rsqrt();
        return (normalized.to(hidden.dtype) * weight).MoveToOuterDisposeScope();
    }
}
