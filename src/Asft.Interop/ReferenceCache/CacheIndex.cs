using System.Text.Json;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>One file of a cache: which examples are in it, and what it must look like.</summary>
internal sealed record CacheShard(string File, long First, long Count, long Bytes, string Sha256)
{
    /// <summary>
    /// Throws if the file is missing or has another size than it must have: a quick check, not that of its contents.
    /// </summary>
    /// <exception cref="InvalidDataException">It is missing or has another size.</exception>
    public void CheckSize(string directory)
    {
        var file = new FileInfo(Path.Combine(directory, File));
        if (!file.Exists || file.Length != Bytes)
        {
            throw new InvalidDataException(
                Invariant($"'{file.FullName}' {(file.Exists ? $"has {file.Length} bytes" : "is missing")}; by the index of the reference cache, it has {Bytes} bytes. ")
                + "Delete the cache and make it again.");
        }
    }
}

/// <summary>
/// The index of a cache: what it was made from and which of its files are whole. Every change replaces the file in one step.
/// </summary>
internal sealed record CacheIndex(
    string Format,
    int Version,
    string Model,
    string Head,
    string DataSet,
    string Dtype,
    long HiddenSize,
    long Examples,
    IReadOnlyList<CacheShard> Shards)
{
    public const string FileName = "index.json";

    private const string ThisFormat = "asft-reference-cache";
    private const int ThisVersion = 1;

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    /// <summary>Examples in whole files; they are the first ones.</summary>
    public long Done => Shards.Count == 0 ? 0 : Shards[^1].First + Shards[^1].Count;

    public ScalarType Type => Dtype == SafeTensors.NameOf(ScalarType.Float32) ? ScalarType.Float32 : ScalarType.BFloat16;

    /// <summary>The index of a cache that has no files yet.</summary>
    public static CacheIndex Empty(ReferenceCacheIdentity identity, ScalarType type, long hiddenSize, long examples) => new(
        ThisFormat, ThisVersion, identity.Model, identity.Head, identity.DataSet, SafeTensors.NameOf(type), hiddenSize, examples, []);

    /// <summary>Reads an index.</summary>
    /// <exception cref="InvalidDataException">It is damaged, or is none.</exception>
    public static CacheIndex Read(string directory)
    {
        string path = Path.Combine(directory, FileName);
        CacheIndex? index;
        try
        {
            index = JsonSerializer.Deserialize<CacheIndex>(File.ReadAllBytes(path), s_json);
        }
        catch (JsonException error)
        {
            throw new InvalidDataException($"'{path}' is damaged or no index of a reference cache: {error.Message}", error);
        }

        if (index is not { Format: ThisFormat, Shards: not null })
        {
            throw new InvalidDataException($"'{path}' is no index of a reference cache.");
        }

        if (index.Version != ThisVersion)
        {
            throw new InvalidDataException(Invariant($"'{path}' has version {index.Version} of the format; this library reads version {ThisVersion}."));
        }

        long next = 0;
        foreach (CacheShard shard in index.Shards)
        {
            if (shard is not { File: not null, Sha256: not null, Count: > 0 } || shard.First != next || Path.GetFileName(shard.File) != shard.File)
            {
                throw new InvalidDataException(Invariant($"'{path}' is damaged: its list of files has a gap at example {next}."));
            }

            next += shard.Count;
        }

        return next <= index.Examples && index.HiddenSize > 0 && index.Dtype is ("BF16" or "F32")
            ? index
            : throw new InvalidDataException(
                Invariant($"'{path}' is damaged: {next} of {index.Examples} examples, hidden size {index.HiddenSize}, dtype {index.Dtype}."));
    }

    /// <summary>Replaces the index on disk.</summary>
    public void Write(string directory) => WholeFile.Write(
        Path.Combine(directory, FileName), stream => stream.Write(JsonSerializer.SerializeToUtf8Bytes(this, s_json)));

    /// <summary>Throws if the cache was made from something else, and says from what.</summary>
    /// <exception cref="InvalidDataException">It was.</exception>
    public void CheckIdentity(string directory, ReferenceCacheIdentity identity)
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
