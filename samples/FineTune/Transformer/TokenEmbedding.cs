using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>A vector for each token.</summary>
internal sealed class TokenEmbedding : nn.Module<Tensor, Tensor>
{
    private readonly Parameter weight; // [V, d]

    public TokenEmbedding(long vocabulary, long width, ScalarType type)
        : base(nameof(TokenEmbedding))
    {
        weight = new Parameter(empty([vocabulary, width], type));
        register_parameter(nameof(weight), weight);
    }

    public Parameter Weight => weight;

    public override Tensor forward(Tensor tokens)
    {
        using var scope = NewDisposeScope();
        return weight.index_select(0, tokens.flatten()).view([.. tokens.shape, weight.size(1)]).MoveToOuterDisposeScope();
    }
}
