using System.Text.Json;
using System.Text.Json.Serialization;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The index of a cache: what it was made from and which of its files are whole. Every change replaces the file in one step.
/// </summary>
internal sealed record CacheIndex(
    string Format,
    int Version,
    string Model,
    string Head,
    string DataSet,
    [property: JsonPropertyName("form")] string FormName,
    [property: JsonPropertyName("size")] long FormSize,
    string Dtype,
    long Examples,
    IReadOnlyList<CacheShard> Shards)
{
    public const string FileName = "index.json";

    private const int MaxBytes = 1 << 28;
    private const string ThisFormat = "asft-reference-cache";
    private const int ThisVersion = 2;

    /// <summary>Examples in whole files; they are the first ones.</summary>
    public long Done => Shards.Count == 0 ? 0 : Shards[^1].First + Shards[^1].Count;

    /// <summary>Whether all examples are in whole files. A complete cache is never written again.</summary>
    public bool IsComplete => Done == Examples;

    /// <summary>What is kept of each token. An index that was read has one that there is.</summary>
    [JsonIgnore]
    public ReferenceCacheForm Form => ReferenceCacheForm.Find(FormName, FormSize)!;

    /// <summary>Dtype of its floating-point numbers.</summary>
    public ScalarType Type => Dtype == SafeTensors.NameOf(ScalarType.Float32) ? ScalarType.Float32 : ScalarType.BFloat16;

    /// <summary>The index of a cache that has no files yet.</summary>
    public static CacheIndex Empty(ReferenceCacheIdentity identity, ReferenceCacheForm form, ScalarType type, long examples) => new(
        ThisFormat, ThisVersion, identity.Model, identity.Head, identity.DataSet, form.Name, form.Size, SafeTensors.NameOf(type), examples, []);

    /// <summary>Reads the index of a cache, and checks that its files are there.</summary>
    /// <param name="directory">The cache's directory.</param>
    /// <param name="identity">What the cache must have been made from.</param>
    /// <returns>The index; null if there is none.</returns>
    /// <exception cref="InvalidDataException">
    /// It is damaged, or is none, or that of a cache that was made from something else; or a file is missing or has another size.
    /// </exception>
    public static CacheIndex? Find(CacheDirectory directory, ReferenceCacheIdentity identity)
    {
        if (directory.LengthOf(FileName) is null)
        {
            return null;
        }

        CacheIndex index = Read(directory);
        index.CheckIdentity(directory.Path, identity);
        foreach (CacheShard shard in index.Shards)
        {
            shard.CheckSize(directory);
        }

        return index;
    }

    /// <summary>Replaces the index on disk.</summary>
    public void Write(CacheDirectory directory) =>
        directory.WriteWhole(FileName, file => file.Write(JsonSerializer.SerializeToUtf8Bytes(this, CacheJson.Default.CacheIndex)));

    private static CacheIndex Read(CacheDirectory directory)
    {
        string path = directory.PathOf(FileName);
        CacheIndex? index;
        using (FileStream file = directory.OpenRead(FileName))
        {
            if (file.Length > MaxBytes)
            {
                throw Damaged.File(path, $"it has {file.Length} bytes, more than the index of any cache");
            }

            try
            {
                index = JsonSerializer.Deserialize(file, CacheJson.Default.CacheIndex);
            }
            catch (JsonException error)
            {
                throw Damaged.File(path, $"it is no index of a reference cache: {error.Message}", error);
            }
        }

        if (index is not { Format: ThisFormat })
        {
            throw Damaged.File(path, $"it is no index of a reference cache");
        }

        if (index.Version != ThisVersion)
        {
            throw new InvalidDataException(Invariant(
                $"'{path}' has version {index.Version} of the format; this library reads version {ThisVersion}."));
        }

        if (index is not { Model: not null, Head: not null, DataSet: not null, Shards: not null, Dtype: "BF16" or "F32", Form: not null }
            || index.Form.TypeOf(index.Type) != index.Type
            || index.Examples < 0)
        {
            throw Damaged.File(
                path,
                $"it lacks a name or a list of files, or has {index.Examples} examples, form {index.FormName} of size {index.FormSize} or dtype {index.Dtype}");
        }

        long next = 0;
        for (int i = 0; i < index.Shards.Count; i++)
        {
            CacheShard? shard = index.Shards[i];
            if (shard is not { Sha256: not null, Count: > 0, Bytes: > 0 }
                || shard.File != CacheShard.NameOf(i)
                || shard.First != next
                || shard.Count > index.Examples - next)
            {
                throw Damaged.File(path, $"its list of {index.Shards.Count} files is wrong at example {next} of {index.Examples}");
            }

            next += shard.Count;
        }

        return index;
    }

    /// <summary>Throws if the cache was made from something else, and says from what.</summary>
    private void CheckIdentity(string directory, ReferenceCacheIdentity identity)
    {
        string[] differences =
        [
            .. Difference("model", Model, identity.Model),
            .. Difference("head", Head, identity.Head),
            .. Difference("data set", DataSet, identity.DataSet),
        ];
        if (differences.Length > 0)
        {
            throw new InvalidDataException(
                $"The reference cache in '{directory}' was made with another {string.Join(" and another ", differences)}. Use another directory, or delete it.");
        }
    }

    private static IEnumerable<string> Difference(string what, string cached, string now) =>
        cached == now ? [] : [$"{what} (cached {cached}, now {now})"];
}

/// <summary>The index as JSON, by code that the compiler writes, so that trimming leaves it whole.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, WriteIndented = true)]
[JsonSerializable(typeof(CacheIndex))]
internal sealed partial class CacheJson : JsonSerializerContext;
