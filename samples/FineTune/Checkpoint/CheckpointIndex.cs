using System.Text.Json;
using System.Text.Json.Nodes;

namespace FineTune.Checkpoint;

/// <summary>Which file of a checkpoint each of its tensors is in.</summary>
internal static class CheckpointIndex
{
    public const string FileName = "model.safetensors.index.json";
    public const string SingleFileName = "model.safetensors";

    private const string Extension = ".safetensors";

    /// <summary>The tensors' names in each file, by the file's path; null where the checkpoint is one file, which has all.</summary>
    /// <exception cref="UserErrorException">There is no checkpoint, or its index is damaged or names a file outside of it.</exception>
    public static Dictionary<string, HashSet<string>>? Read(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            return File.Exists(Path.Combine(folder, SingleFileName))
                ? null
                : throw new UserErrorException($"'{folder}' has neither {SingleFileName} nor {FileName}: no weights in the safetensors format.");
        }

        var files = new Dictionary<string, HashSet<string>>(StringComparer.Ordinal);
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (JsonProperty entry in ConfigFile.Read(path).Object("weight_map").All())
        {
            string file = entry.Value.ValueKind == JsonValueKind.String ? entry.Value.GetString()! : "";
            if (!IsPlainName(file))
            {
                throw new UserErrorException(
                    $"'{path}': \"{entry.Name}\" must be in a {Extension} file of this directory, not in {entry.Value.GetRawText()}.");
            }

            if (!names.Add(entry.Name))
            {
                throw new UserErrorException($"'{path}' has \"{entry.Name}\" twice.");
            }

            string place = Path.Combine(folder, file);
            files.TryAdd(place, new HashSet<string>(StringComparer.Ordinal));
            files[place].Add(entry.Name);
        }

        return files;
    }

    /// <summary>The index of the given files.</summary>
    /// <param name="shards">Names of the tensors in each file.</param>
    /// <param name="bytes">Bytes of all tensors.</param>
    public static byte[] Write(IReadOnlyList<IReadOnlyList<string>> shards, long bytes)
    {
        var map = new JsonObject();
        for (int shard = 0; shard < shards.Count; shard++)
        {
            foreach (string name in shards[shard])
            {
                map.Add(name, ShardName(shard, shards.Count));
            }
        }

        var index = new JsonObject { ["metadata"] = new JsonObject { ["total_size"] = bytes }, ["weight_map"] = map };
        return JsonSerializer.SerializeToUtf8Bytes(index, ConfigFile.Indented);
    }

    /// <summary>Name of a file of weights.</summary>
    public static string ShardName(int shard, int shards) => shards == 1 ? SingleFileName : $"model-{shard + 1:D5}-of-{shards:D5}{Extension}";

    /// <summary>A name in the directory itself, on every system.</summary>
    private static bool IsPlainName(string file) =>
        file.EndsWith(Extension, StringComparison.Ordinal) && file.IndexOfAny(['/', '\\', ':', '\0']) < 0 && !file.StartsWith('.');
}
