namespace FineTune.Checkpoint;

/// <summary>
/// What a checkpoint's <c>config.json</c> says of a decoder of the llama, qwen2 and qwen3 families. They are one architecture - RMSNorm, rotary
/// positions, grouped-query attention, a gated perceptron - and differ in the biases and norms that these fields name.
/// </summary>
internal sealed record ModelConfig
{
    public const string FileName = "config.json";

    private static readonly string[] s_families = ["llama", "qwen2", "qwen3"];

    /// <summary>How many tokens there are.</summary>
    public required int Vocabulary { get; init; }

    /// <summary>Size of a hidden state.</summary>
    public required int Width { get; init; }

    /// <summary>Size of the perceptron's inner state.</summary>
    public required int InnerWidth { get; init; }

    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Heads of keys and values, each of which serves the same number of query heads.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Channels of a head.</summary>
    public required int HeadSize { get; init; }

    /// <summary>The most tokens that the model was made for.</summary>
    public required int Context { get; init; }

    /// <summary>What is added to the mean square in a norm.</summary>
    public double NormEpsilon { get; init; } = 1e-6;

    public double RotaryTheta { get; init; } = 10_000;

    public RotaryScaling RotaryScaling { get; init; } = RotaryScaling.None;

    /// <summary>Whether the embedding is also the head.</summary>
    public bool TiedHead { get; init; }

    /// <summary>Whether queries, keys and values have biases.</summary>
    public bool InputBias { get; init; }

    /// <summary>Whether the attention's output projection has one.</summary>
    public bool OutputBias { get; init; }

    /// <summary>Whether the perceptron's projections have them.</summary>
    public bool PerceptronBias { get; init; }

    /// <summary>Whether queries and keys are normalized, head by head.</summary>
    public bool QueryKeyNorm { get; init; }

    /// <summary>Tokens that end a text.</summary>
    public int[] EndTokens { get; init; } = [];

    /// <summary>Reads <c>config.json</c>.</summary>
    /// <param name="folder">The checkpoint.</param>
    /// <exception cref="UserErrorException">It is not there, damaged, or of a model that this program does not have.</exception>
    public static ModelConfig Read(string folder)
    {
        if (!Directory.Exists(folder))
        {
            throw new UserErrorException($"There is no checkpoint: '{folder}' is no directory.");
        }

        var file = ConfigFile.Read(Path.Combine(folder, FileName));
        string family = file.Text("model_type");
        if (!s_families.Contains(family))
        {
            throw file.Wrong("model_type", $"one of {string.Join(", ", s_families)}");
        }

        if (file.Text("hidden_act") != "silu")
        {
            throw file.Wrong("hidden_act", "\"silu\"");
        }

        if (file.Flag("use_sliding_window"))
        {
            throw file.Wrong("use_sliding_window", "false: attention within a window is not supported");
        }

        int heads = file.Size("num_attention_heads");
        int width = file.Size("hidden_size");
        int keyValueHeads = file.Has("num_key_value_heads") ? file.Size("num_key_value_heads") : heads;
        if (heads % keyValueHeads != 0)
        {
            throw file.Wrong("num_key_value_heads", $"a divisor of the {heads} attention heads");
        }

        int headSize = file.Has("head_dim") ? file.Size("head_dim") : family == "qwen3" ? 128 : width / heads;
        if (headSize % 2 != 0 || headSize == 0)
        {
            throw file.Wrong("head_dim", $"an even number; of {heads} heads in {width} it is {headSize}");
        }

        // The older form has the base beside the scaling, the newer one all of it in one object.
        ConfigFile? rotary = file.Has("rope_parameters") ? file.Object("rope_parameters")
            : file.Has("rope_scaling") ? file.Object("rope_scaling")
            : null;
        ConfigFile theta = rotary?.Has("rope_theta") == true ? rotary : file;
        bool attentionBias = file.Flag("attention_bias");
        return new ModelConfig
        {
            Vocabulary = file.Size("vocab_size"),
            Width = width,
            InnerWidth = file.Size("intermediate_size"),
            Layers = file.Size("num_hidden_layers"),
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadSize = headSize,
            Context = file.Size("max_position_embeddings"),
            NormEpsilon = file.Positive("rms_norm_eps"),
            RotaryTheta = theta.Has("rope_theta") ? theta.Positive("rope_theta") : 10_000,
            RotaryScaling = Scaling(rotary, file),
            TiedHead = file.Flag("tie_word_embeddings"),
            InputBias = family == "qwen2" || attentionBias,
            OutputBias = family != "qwen2" && attentionBias,
            PerceptronBias = family == "llama" && file.Flag("mlp_bias"),
            QueryKeyNorm = family == "qwen3",
            EndTokens = file.Has("eos_token_id") ? file.WholeNumbers("eos_token_id") : [],
        };
    }

    private static RotaryScaling Scaling(ConfigFile? rotary, ConfigFile file)
    {
        if (rotary is null)
        {
            return RotaryScaling.None;
        }

        string name = rotary.Has("rope_type") ? "rope_type" : "type";
        return rotary.Text(name) switch
        {
            "default" => RotaryScaling.None,
            "linear" => new RotaryScaling.Linear(rotary.Positive("factor")),
            "llama3" when rotary.Positive("low_freq_factor") < rotary.Positive("high_freq_factor") => new RotaryScaling.Llama3(
                rotary.Positive("factor"),
                rotary.Positive("low_freq_factor"),
                rotary.Positive("high_freq_factor"),
                (rotary.Has("original_max_position_embeddings") ? rotary : file).Positive(
                    rotary.Has("original_max_position_embeddings") ? "original_max_position_embeddings" : "max_position_embeddings")),
            "llama3" => throw rotary.Wrong("high_freq_factor", "above \"low_freq_factor\""),
            _ => throw rotary.Wrong(name, "one of default, linear, llama3"),
        };
    }
}
