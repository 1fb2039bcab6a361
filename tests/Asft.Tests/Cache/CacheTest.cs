using System.Text.Json.Nodes;
using Asft.Interop;
using Asft.Tests.Interop;
using static TorchSharp.torch;

namespace Asft.Tests.Cache;

/// <summary>A test of the reference cache: a directory of its own, and a small data set.</summary>
[NonParallelizable]
public abstract class CacheTest : TorchTest
{
    /// <summary>Size of a hidden state.</summary>
    protected const long Width = 6;

    /// <summary>Tokens of each example.</summary>
    protected static readonly long[] Lengths = [3, 1, 7, 0, 5, 2, 4];

    protected static readonly ReferenceCacheIdentity Identity = new("model 1", "head 1", "data 1");

    protected string Folder { get; private set; } = null!;

    protected string IndexPath => Path.Combine(Folder, "index.json");

    [SetUp]
    public void MakeDirectory() => Folder = Directory.CreateTempSubdirectory("asft-cache-").FullName;

    [TearDown]
    public void DeleteDirectory() => Directory.Delete(Folder, recursive: true);

    protected static InvalidDataException Refused(Action action) =>
        Assert.Throws<InvalidDataException>(() => action()) ?? throw new AssertionException("There is no exception.");

    protected static Tensor[] States() => [.. Lengths.Select(length => randn(length, Width))];

    protected string[] Shards() => [.. Directory.GetFiles(Folder, "*.safetensors").Order(StringComparer.Ordinal)];

    protected ReferenceCache Make(Tensor[] states, ReferenceCacheOptions? options = null) => ReferenceCache.OpenOrCreate(
        Folder, Identity, states.Length, Width, example => states[example].clone(), options);

    protected ReferenceCacheWriter OpenWriter(
        ReferenceCacheIdentity? identity = null, long examples = 7, long width = Width, ReferenceCacheOptions? options = null) =>
        new(Folder, identity ?? Identity, examples, width, options);

    /// <summary>Changes the index on disk.</summary>
    protected void EditIndex(Action<JsonObject> edit)
    {
        JsonObject index = JsonNode.Parse(File.ReadAllText(IndexPath))!.AsObject();
        edit(index);
        File.WriteAllText(IndexPath, index.ToJsonString());
    }

    /// <summary>
    /// Puts other bytes in the place of the only file, and makes the index agree about their size and checksum.
    /// </summary>
    protected void Replace(byte[] bytes)
    {
        File.WriteAllBytes(Shards().Single(), bytes);
        EditIndex(index =>
        {
            index["shards"]![0]!["bytes"] = bytes.Length;
            index["shards"]![0]!["sha256"] = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes));
        });
    }
}
