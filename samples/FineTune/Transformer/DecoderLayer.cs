using FineTune.Checkpoint;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>Attention, then a perceptron, each reading a normalized copy of the residual stream and adding to it.</summary>
internal sealed class DecoderLayer : nn.Module<Tensor, SequenceLayout, Tensor>
{
    private readonly RmsNorm input_layernorm;
    private readonly Attention self_attn;
    private readonly RmsNorm post_attention_layernorm;
    private readonly Perceptron mlp;

    public DecoderLayer(ModelConfig config, int layer, ScalarType type)
        : base(nameof(DecoderLayer))
    {
        input_layernorm = new RmsNorm(config.Width, config.NormEpsilon, type);
        self_attn = new Attention(config, layer, type);
        post_attention_layernorm = new RmsNorm(config.Width, config.NormEpsilon, type);
        mlp = new Perceptron(config, type);
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, SequenceLayout layout) => forward(hidden, layout, cache: null);

    public Tensor forward(Tensor hidden, SequenceLayout layout, KeyValues? cache)
    {
        // What autograd does not need goes at the end of the layer, not at the end of the step.
        using var scope = NewDisposeScope();
        hidden = hidden + self_attn.forward(input_layernorm.forward(hidden), layout, cache);
        return (hidden + mlp.forward(post_attention_layernorm.forward(hidden))).MoveToOuterDisposeScope();
    }
}
