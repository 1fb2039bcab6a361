using FineTune.Checkpoint;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>A perceptron whose inner state is gated: <c>down(silu(gate x) * up x)</c>.</summary>
internal sealed class Perceptron : nn.Module<Tensor, Tensor>
{
    private readonly Projection gate_proj;
    private readonly Projection up_proj;
    private readonly Projection down_proj;

    public Perceptron(ModelConfig config, ScalarType type)
        : base(nameof(Perceptron))
    {
        gate_proj = new Projection(config.Width, config.InnerWidth, config.PerceptronBias, type);
        up_proj = new Projection(config.Width, config.InnerWidth, config.PerceptronBias, type);
        down_proj = new Projection(config.InnerWidth, config.Width, config.PerceptronBias, type);
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden)
    {
        using var scope = NewDisposeScope();
        return down_proj.forward(nn.functional.silu(gate_proj.forward(hidden)) * up_proj.forward(hidden)).MoveToOuterDisposeScope();
    }
}
