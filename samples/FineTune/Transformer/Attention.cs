using FineTune.Checkpoint;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>Grouped-query attention: each head of keys and values serves a group of query heads.</summary>
internal sealed class Attention : nn.Module<Tensor, SequenceLayout, Tensor>
{
    private readonly ModelConfig config;
    private readonly int layer;
    private readonly Projection q_proj;
    private readonly Projection k_proj;
    private readonly Projection v_proj;
    private readonly Projection o_proj;
    private readonly RmsNorm? q_norm;
    private readonly RmsNorm? k_norm;

    public Attention(ModelConfig config, int layer, ScalarType type)
        : base(nameof(Attention))
    {
        this.config = config;
        this.layer = layer;
        long queries = (long)config.Heads * config.HeadSize;
        long keys = (long)config.KeyValueHeads * config.HeadSize;
        q_proj = new Projection(config.Width, queries, config.InputBias, type);
        k_proj = new Projection(config.Width, keys, config.InputBias, type);
        v_proj = new Projection(config.Width, keys, config.InputBias, type);
        o_proj = new Projection(queries, config.Width, config.OutputBias, type);
        q_norm = config.QueryKeyNorm ? new RmsNorm(config.HeadSize, config.NormEpsilon, type) : null;
        k_norm = config.QueryKeyNorm ? new RmsNorm(config.HeadSize, config.NormEpsilon, type) : null;
        RegisterComponents();
    }

    public override Tensor forward(Tensor hidden, SequenceLayout layout) => forward(hidden, layout, cache: null);

    /// <param name="hidden">Normalized hidden states <c>[B, T, d]</c>.</param>
    /// <param name="layout">Where the tokens stand.</param>
    /// <param name="cache">Keys and values of the tokens before, if there are any.</param>
    public Tensor forward(Tensor hidden, SequenceLayout layout, KeyValues? cache)
    {
        using var scope = NewDisposeScope();
        Tensor queries = layout.Rotate(Heads(q_proj, q_norm, hidden));
        Tensor keys = layout.Rotate(Heads(k_proj, k_norm, hidden));
        Tensor values = Heads(v_proj, null, hidden);
        if (cache is not null)
        {
            (keys, values) = cache.Append(layer, keys, values);
        }

        Tensor attended = nn.functional.scaled_dot_product_attention(
            queries, ForEachQuery(keys), ForEachQuery(values), layout.Mask, is_casual: layout.Causal && layout.Mask is null);
        return o_proj.forward(attended.transpose(1, 2).flatten(2)).MoveToOuterDisposeScope();
    }

    /// <summary><c>[B, heads, T, channels]</c>.</summary>
    private Tensor Heads(Projection projection, RmsNorm? norm, Tensor hidden)
    {
        Tensor heads = projection.forward(hidden).unflatten(2, [-1, config.HeadSize]);
        return (norm?.forward(heads) ?? heads).transpose(1, 2);
    }

    private Tensor ForEachQuery(Tensor heads)
    {
        long group = config.Heads / config.KeyValueHeads;
        return group == 1 ? heads : heads.unsqueeze(2).expand(-1, -1, group, -1, -1).flatten(1, 2);
    }
}
