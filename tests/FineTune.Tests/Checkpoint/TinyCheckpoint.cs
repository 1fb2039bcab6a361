using FineTune.Checkpoint;
using FineTune.Transformer;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace FineTune.Tests.Checkpoint;

/// <summary>Checkpoints of a few thousand random weights, one for each thing that the families differ in.</summary>
internal static class TinyCheckpoint
{
    public const int Vocabulary = 37;

    /// <summary>The configs, by name.</summary>
    public static IReadOnlyDictionary<string, string> Configs { get; } = new Dictionary<string, string>
    {
        ["llama"] =
            """
            {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 500.0, "tie_word_embeddings": false,
             "rope_scaling": {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
            """,
        ["llama with biases"] =
            """
            {"model_type": "llama", "num_attention_heads": 2, "attention_bias": true, "mlp_bias": true, "rope_scaling": {"type": "linear", "factor": 2.5},
            """,
        ["qwen2"] =
            """
            {"model_type": "qwen2", "num_attention_heads": 4, "num_key_value_heads": 1, "rope_theta": 1000000.0, "tie_word_embeddings": true,
             "use_sliding_window": false, "sliding_window": 8,
            """,
        ["qwen3"] =
            """
            {"model_type": "qwen3", "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "tie_word_embeddings": true,
             "rope_parameters": {"rope_type": "default", "rope_theta": 2000.0},
            """,
    };

    /// <summary>The config's text.</summary>
    public static string Config(string name, int vocabulary = Vocabulary) => Configs[name] +
        $$"""
        "hidden_act": "silu", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": {{vocabulary}},
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "eos_token_id": [1, 2], "torch_dtype": "float32"}
        """;

    /// <summary>Makes one.</summary>
    public static void Make(
        string folder, string name, ScalarType type = ScalarType.Float32, long bytesOfShard = 1 << 30, int vocabulary = Vocabulary)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, ModelConfig.FileName), Config(name, vocabulary));
        using DisposeScope scope = NewDisposeScope();
        manual_seed(7);
        var model = new Decoder(ModelConfig.Read(folder), type);
        using (no_grad())
        {
            foreach ((string weight, Parameter parameter) in model.Weights)
            {
                bool isNorm = weight.Contains("norm", StringComparison.Ordinal);
                parameter.normal_(isNorm ? 1 : 0, isNorm ? 0.2 : 0.3);
            }
        }

        CheckpointWriter.Write(folder, folder, model, bytesOfShard);
    }
}
