using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Model;

/// <summary>The shape of the model. Roughly 12·Layers·Width² parameters.</summary>
internal sealed record ModelShape(int Vocabulary, int Context, int Layers = 3, int Width = 128, int Heads = 4);

/// <summary>
/// A decoder-only transformer: pre-norm blocks of causal attention with rotary positions and a GELU perceptron.
/// Tokens <c>[B, T]</c> in, logits <c>[B, T, V]</c> out.
/// </summary>
internal sealed class LanguageModel : nn.Module<Tensor, Tensor>
{
    private readonly Embedding embedding;
    private readonly ModuleList<Block> blocks;
    private readonly LayerNorm norm;
    private readonly Linear head;

    public LanguageModel(ModelShape shape)
        : base(nameof(LanguageModel))
    {
        Shape = shape;
        embedding = nn.Embedding(shape.Vocabulary, shape.Width);
        blocks = nn.ModuleList([.. Enumerable.Range(0, shape.Layers).Select(_ => new Block(shape))]);
        norm = nn.LayerNorm(shape.Width);
        head = nn.Linear(shape.Width, shape.Vocabulary, hasBias: false);
        RegisterComponents();
        Initialize();
    }

    public ModelShape Shape { get; }

    /// <summary>The output projection, for a loss that starts from the hidden states.</summary>
    public Linear Head => head;

    public override Tensor forward(Tensor tokens) => forward(tokens, cache: null);

    /// <summary>With a cache, <paramref name="tokens"/> <c>[B, 1]</c> continue the sequences that the cache holds.</summary>
    public Tensor forward(Tensor tokens, KeyValueCache? cache)
    {
        using var scope = NewDisposeScope();
        return head.forward(Hidden(tokens, cache)).MoveToOuterDisposeScope();
    }

    /// <summary>What the output projection takes: hidden states <c>[B, T, d]</c>.</summary>
    public Tensor Hidden(Tensor tokens, KeyValueCache? cache = null)
    {
        using var scope = NewDisposeScope();
        var hidden = embedding.forward(tokens);
        for (int layer = 0; layer < blocks.Count; layer++)
        {
            hidden = blocks[layer].forward(hidden, cache, layer);
        }

        return norm.forward(hidden).MoveToOuterDisposeScope();
    }

    /// <summary>A model of its own memory with the same weights.</summary>
    public LanguageModel Copy()
    {
        var copy = new LanguageModel(Shape);
        copy.load_state_dict(state_dict());
        return copy;
    }

    /// <summary>Normal weights of deviation 0.02, smaller where a block adds to the residual stream, as in GPT-2.</summary>
    private void Initialize()
    {
        using var noGrad = no_grad();
        double residual = 0.02 / Math.Sqrt(2 * Shape.Layers);
        foreach (var (name, parameter) in named_parameters())
        {
            if (parameter.dim() == 2)
            {
                nn.init.normal_(parameter, 0, name.EndsWith("out.weight", StringComparison.Ordinal) ? residual : 0.02);
            }
        }
    }
}
