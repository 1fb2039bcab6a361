using System.Text.Json;
using System.Text.Json.Nodes;
using Asft.Interop;
using FineTune.Report;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Checkpoint;

/// <summary>From a model to a checkpoint's folder, with the tokenizer's and other small files of the one that it came from.</summary>
internal static class CheckpointWriter
{
    private const long BytesOfShard = 5_000_000_000;

    private static readonly Dictionary<string, string> s_metadata = new() { ["format"] = "pt" };

    private static readonly string[] s_companions =
    [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "chat_template.jinja", "generation_config.json",
    ];

    /// <summary>
    /// Writes the weights, adapters in them. Each file is there whole or not at all; the config, without which nothing reads the folder, comes
    /// last, and the index of several files is gone until all of them are new.
    /// </summary>
    /// <param name="folder">Where to; made if it is not there.</param>
    /// <param name="source">The checkpoint that the model came from.</param>
    /// <param name="model">The model.</param>
    /// <param name="bytesOfShard">What a file's tensors may take together, unless it has one alone.</param>
    /// <exception cref="IOException">The file system refuses.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public static void Write(string folder, string source, Decoder model, long bytesOfShard = BytesOfShard)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        Directory.CreateDirectory(folder);
        (string Name, Tensor Weight)[][] shards = Shards([.. model.MergedWeights()], bytesOfShard);
        string index = Path.Combine(folder, CheckpointIndex.FileName);
        File.Delete(index);
        for (int shard = 0; shard < shards.Length; shard++)
        {
            SafeTensorsFile.Write(Path.Combine(folder, CheckpointIndex.ShardName(shard, shards.Length)), shards[shard], s_metadata);
        }

        if (shards.Length > 1)
        {
            WholeFile.Write(index, CheckpointIndex.Write(
                [.. shards.Select(shard => shard.Select(entry => entry.Name).ToArray())], shards.Sum(shard => shard.Sum(entry => Bytes(entry.Weight)))));
        }

        foreach (string name in s_companions.Where(name => File.Exists(Path.Combine(source, name))))
        {
            WholeFile.Write(Path.Combine(folder, name), File.ReadAllBytes(Path.Combine(source, name)));
        }

        WholeFile.Write(Path.Combine(folder, ModelConfig.FileName), Config(source, model.Type));
    }

    private static (string Name, Tensor Weight)[][] Shards((string Name, Tensor Weight)[] weights, long bytesOfShard)
    {
        var shards = new List<List<(string, Tensor)>>();
        long room = 0;
        foreach ((string name, Tensor weight) in weights)
        {
            if (shards.Count == 0 || room < Bytes(weight))
            {
                shards.Add([]);
                room = bytesOfShard;
            }

            shards[^1].Add((name, weight));
            room -= Bytes(weight);
        }

        return [.. shards.Select(shard => shard.ToArray())];
    }

    private static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();

    /// <summary>The source's config, with the dtype that the weights have now.</summary>
    private static byte[] Config(string source, ScalarType type)
    {
        JsonObject config = JsonNode.Parse(File.ReadAllBytes(Path.Combine(source, ModelConfig.FileName)))!.AsObject();
        config[config.ContainsKey("dtype") ? "dtype" : "torch_dtype"] = $"{type}".ToLowerInvariant();
        return JsonSerializer.SerializeToUtf8Bytes(config, ConfigFile.Indented);
    }
}
