using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Model;

/// <summary>Attention, then a perceptron, each reading a normalized copy of the residual stream and adding to it.</summary>
internal sealed class Block : nn.Module<Tensor, KeyValueCache?, int, Tensor>
{
    private readonly int heads;
    private readonly RotaryPositions rotary;
    private readonly LayerNorm attention_norm;
    private readonly Linear attention_qkv;
    private readonly Linear attention_out;
    private readonly LayerNorm perceptron_norm;
    private readonly Linear perceptron_in;
    private readonly Linear perceptron_out;

    public Block(ModelShape shape)
        : base(nameof(Block))
    {
        heads = shape.Heads;
        rotary = new RotaryPositions(shape.Context, shape.Width / shape.Heads);
        attention_norm = nn.LayerNorm(shape.Width);
        attention_qkv = nn.Linear(shape.Width, 3 * shape.Width, hasBias: false);
        attention_out = nn.Linear(shape.Width, shape.Width, hasBias: false);
        perceptron_norm = nn.LayerNorm(shape.Width);
        perceptron_in = nn.Linear(shape.Width, 4 * shape.Width, hasBias: false);
        perceptron_out = nn.Linear(4 * shape.Width, shape.Width, hasBias: false);
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, KeyValueCache? cache, int layer)
    {
        // What autograd does not need goes at the end of the block, not at the end of the step.
        using var scope = NewDisposeScope();
        hidden = hidden + Attend(attention_norm.forward(hidden), cache, layer);
        var expanded = nn.functional.gelu(perceptron_in.forward(perceptron_norm.forward(hidden)));
        return (hidden + perceptron_out.forward(expanded)).MoveToOuterDisposeScope();
    }

    private Tensor Attend(Tensor hidden, KeyValueCache? cache, int layer)
    {
        long batch = hidden.size(0);
        long length = hidden.size(1);
        long width = hidden.size(2);
        var qkv = attention_qkv.forward(hidden).view(batch, length, 3, heads, width / heads).permute(2, 0, 3, 1, 4);
        var queriesAndKeys = rotary.forward(qkv.narrow(0, 0, 2), cache?.Length ?? 0);
        var (queries, keys, values) = (queriesAndKeys[0], queriesAndKeys[1], qkv[2]);
        if (cache is not null)
        {
            (keys, values) = cache.Append(layer, keys, values);
        }

        var attended = nn.functional.scaled_dot_product_attention(queries, keys, values, is_casual: cache is null);
        return attention_out.forward(attended.transpose(1, 2).reshape(batch, length, width));
    }
}
