using FineTune.Checkpoint;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Transformer;

/// <summary>
/// The decoder of the llama, qwen2 and qwen3 families, as its checkpoint's config describes it. Its parameters have the names that they have in a
/// checkpoint, and no values yet: the checkpoint is read into them.
/// </summary>
internal sealed class Decoder : nn.Module<Tensor, Tensor>
{
    private const string Head = "lm_head";

    private readonly TokenEmbedding embed_tokens;
    private readonly ModuleList<DecoderLayer> layers;
    private readonly RmsNorm norm;
    private readonly Projection? lm_head;

    public Decoder(ModelConfig config, ScalarType type)
        : base(nameof(Decoder))
    {
        Config = config;
        Type = type;
        embed_tokens = new TokenEmbedding(config.Vocabulary, config.Width, type);
        layers = nn.ModuleList([.. Enumerable.Range(0, config.Layers).Select(layer => new DecoderLayer(config, layer, type))]);
        norm = new RmsNorm(config.Width, config.NormEpsilon, type);
        lm_head = config.TiedHead ? null : new Projection(config.Width, config.Vocabulary, hasBias: false, type);
        RegisterComponents();
    }

    public ModelConfig Config { get; }

    /// <summary>Dtype of the weights.</summary>
    public ScalarType Type { get; }

    /// <summary>What adapters there are; null if there are none.</summary>
    public LoraOptions? Adapters { get; private set; }

    /// <summary>The head's weight <c>[V, d]</c>: the embedding's own where the two are tied.</summary>
    public Tensor HeadWeight => (lm_head?.Weight) ?? embed_tokens.Weight;

    /// <summary>The parameters of the checkpoint and their names there; without the adapters'.</summary>
    public IEnumerable<(string Name, Parameter Parameter)> Weights =>
        named_parameters().Where(entry => !IsAdapter(entry.name)).Select(entry => (NameInCheckpoint(entry.name), entry.parameter));

    /// <summary>What is trained, each parameter once, in a fixed order: the adapters if there are any, and all parameters otherwise.</summary>
    public IEnumerable<(string Name, Parameter Parameter)> Trained =>
        named_parameters().Where(entry => Adapters is null || IsAdapter(entry.name)).Select(entry => (NameInCheckpoint(entry.name), entry.parameter));

    private IEnumerable<(string Name, Projection Projection)> Projections =>
        named_modules().Select(entry => (entry.name, Projection: entry.module as Projection)).Where(entry => entry.Projection is not null)!;

    /// <summary>Freezes the model and adds adapters, which do not change it yet. What they draw comes from torch's generator.</summary>
    public void AddAdapters(LoraOptions options)
    {
        Freeze();
        Adapters = options;
        foreach ((string name, Projection projection) in Projections.Where(entry => options.Targets.Contains(entry.Name.Split('.')[^1])))
        {
            projection.AddAdapter(options);
        }
    }

    /// <summary>Makes nothing of it trainable.</summary>
    public void Freeze()
    {
        foreach (Parameter parameter in parameters())
        {
            parameter.requires_grad = false;
        }
    }

    /// <summary>The model as it was before its adapters, and without dropout, until the result is disposed.</summary>
    public IDisposable WithoutAdapters() => new AdaptersOff(this);

    /// <summary>The weights of a checkpoint without adapters, with their updates in them; of the caller's dispose scope where they are new.</summary>
    public IEnumerable<(string Name, Tensor Weight)> MergedWeights()
    {
        Dictionary<string, Projection> adapted = Projections.ToDictionary(entry => NameInCheckpoint(entry.Name + ".weight"), entry => entry.Projection);
        return Weights.Select(entry => (entry.Name, adapted.TryGetValue(entry.Name, out Projection? projection) ? projection.Merged() : (Tensor)entry.Parameter));
    }

    /// <summary>Logits <c>[B, T, V]</c> of texts <c>[B, T]</c>.</summary>
    public override Tensor forward(Tensor tokens)
    {
        using var scope = NewDisposeScope();
        SequenceLayout layout = SequenceLayout.Plain(Config, 0, tokens.size(1), HeadWeight);
        return nn.functional.linear(Hidden(tokens, layout), HeadWeight).MoveToOuterDisposeScope();
    }

    /// <summary>What the head takes: hidden states <c>[B, T, d]</c>.</summary>
    /// <param name="tokens">The tokens, int64 <c>[B, T]</c>.</param>
    /// <param name="layout">Where they stand.</param>
    /// <param name="cache">The tokens before them, if there are any.</param>
    public Tensor Hidden(Tensor tokens, SequenceLayout layout, KeyValues? cache = null)
    {
        using var scope = NewDisposeScope();
        Tensor hidden = Embed(tokens);
        for (int layer = 0; layer < layers.Count; layer++)
        {
            hidden = Layer(layer, hidden, layout, cache);
        }

        return Normalize(hidden).MoveToOuterDisposeScope();
    }

    /// <summary>The first part: embeddings.</summary>
    public Tensor Embed(Tensor tokens) => embed_tokens.forward(tokens);

    /// <summary>One of the middle parts.</summary>
    public Tensor Layer(int layer, Tensor hidden, SequenceLayout layout, KeyValues? cache = null)
    {
        if (training && layout.DropoutSeed is { } seed)
        {
            manual_seed(seed + layer);
        }

        return layers[layer].forward(hidden, layout, cache);
    }

    /// <summary>The last part: the norm before the head.</summary>
    public Tensor Normalize(Tensor hidden) => norm.forward(hidden);

    private static bool IsAdapter(string name) => name.Contains(".lora", StringComparison.Ordinal);

    private static string NameInCheckpoint(string name) => name.StartsWith(Head, StringComparison.Ordinal) ? name : "model." + name;

    private sealed class AdaptersOff : IDisposable
    {
        private readonly Decoder decoder;
        private readonly bool wasTraining;

        public AdaptersOff(Decoder decoder)
        {
            this.decoder = decoder;
            wasTraining = decoder.training;
            decoder.eval();
            Switch(on: false);
        }

        public void Dispose()
        {
            Switch(on: true);
            decoder.train(wasTraining);
        }

        private void Switch(bool on)
        {
            foreach ((_, Projection projection) in decoder.Projections)
            {
                projection.AdapterOn = on;
            }
        }
    }
}
