using System.Text.Json.Nodes;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>A test of the reference cache: a directory of its own, and a small data set.</summary>
/// <param name="kept">The form that the cache has: one of the constants.</param>
[NonParallelizable]
public abstract class CacheTest(string kept = CacheTest.Hidden) : TorchTest
{
    /// <summary>Hidden states.</summary>
    protected const string Hidden = "hidden";

    /// <summary>Log-probabilities of the labels.</summary>
    protected const string Labels = "labels";

    /// <summary>The most likely entries.</summary>
    protected const string TopK = "top-k";

    /// <summary>Size of a hidden state.</summary>
    protected const long Width = 6;

    /// <summary>Entries of a token.</summary>
    protected const int Entries = 3;

    /// <summary>Tokens of each example.</summary>
    protected static readonly long[] Lengths = [3, 1, 7, 0, 5, 2, 4];

    protected static readonly ReferenceCacheIdentity Identity = new("model 1", "head 1", "data 1");

    /// <summary>The form that the cache has.</summary>
    protected string Kept { get; } = kept;

    protected ReferenceCacheForm Form { get; } = kept switch
    {
        Hidden => ReferenceCacheForm.Hidden(Width),
        Labels => ReferenceCacheForm.LabelLogProbabilities,
        _ => ReferenceCacheForm.TopK(Entries),
    };

    protected string Folder { get; private set; } = null!;

    protected string IndexPath => Path.Combine(Folder, "index.json");

    [SetUp]
    public void MakeDirectory() => Folder = Directory.CreateTempSubdirectory("asft-cache-").FullName;

    [TearDown]
    public void DeleteDirectory() => Directory.Delete(Folder, recursive: true);

    protected static InvalidDataException Refused(Action action) =>
        Assert.Throws<InvalidDataException>(() => action()) ?? throw new AssertionException("There is no exception.");

    protected static ArgumentException Argument(Action action) =>
        Assert.Catch<ArgumentException>(() => action()) ?? throw new AssertionException("There is no exception.");

    /// <summary>The bytes of a tensor's elements.</summary>
    protected static unsafe byte[] Bytes(Tensor tensor)
    {
        Tensor dense = tensor.cpu().contiguous();
        return new ReadOnlySpan<byte>(TensorMemory.Pointer(dense), checked((int)(dense.numel() * dense.element_size()))).ToArray();
    }

    /// <summary>Asserts that a reference has the bits of another one, after one conversion to the dtypes that it is stored in.</summary>
    protected static void AssertSame(TokenReference read, TokenReference made, string what = "")
    {
        Assert.That(read.Tensors, Has.Count.EqualTo(made.Tensors.Count), what);
        foreach ((Tensor actual, Tensor expected) in read.Tensors.Zip(made.Tensors))
        {
            Assert.That(actual.shape, Is.EqualTo(expected.shape), what);
            Assert.That(Bytes(actual), Is.EqualTo(Bytes(expected.to(actual.dtype))), what);
        }
    }

    /// <summary>The reference of each example.</summary>
    protected TokenReference[] References() => [.. Lengths.Select(Reference)];

    /// <summary>A reference of some tokens.</summary>
    protected TokenReference Reference(long tokens)
    {
        if (Kept == Hidden)
        {
            return randn(tokens, Width);
        }

        Tensor logs = randn(tokens, 20).log_softmax(-1);
        (Tensor values, Tensor indices) = logs.topk(Entries);
        return Kept == Labels ? TokenReference.LabelLogProbabilities(logs.select(-1, 7)) : TokenReference.TopK(indices, values);
    }

    /// <summary>The same of other tensors.</summary>
    protected TokenReference Copy(TokenReference reference) => Form.Combine([.. reference.Tensors.Select(tensor => tensor.clone())]);

    /// <summary>How to write files of some tokens each, or of as many more as their last example has.</summary>
    protected ReferenceCacheOptions Files(long tokens, ScalarType type = ScalarType.Float32) => new()
    {
        StorageType = type,
        ShardBytes = tokens * Form.Parts(Form.TypeOf(type)).Sum(part => part.Shape.Aggregate(1L, (a, b) => a * b) * SafeTensors.SizeOf(part.Type)),
    };

    protected string[] Shards() => [.. Directory.GetFiles(Folder, "*.safetensors").Order(StringComparer.Ordinal)];

    protected ReferenceCache Make(TokenReference[] references, ReferenceCacheOptions? options = null) => ReferenceCache.OpenOrCreate(
        Folder, Identity, references.Length, Form, example => Copy(references[example]), options);

    protected ReferenceCacheWriter OpenWriter(
        ReferenceCacheIdentity? identity = null, long examples = 7, ReferenceCacheForm? form = null, ReferenceCacheOptions? options = null) =>
        new(Folder, identity ?? Identity, examples, form ?? Form, options);

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

    /// <summary>Asserts that the first example is not given out.</summary>
    protected void AssertFileRefused(string says)
    {
        using ReferenceCache cache = ReferenceCache.Open(Folder, Identity);
        Assert.That(Refused(() => cache.Read(0)).Message, Does.Contain("shard-00000.safetensors' is damaged: ").And.Contain(says));
    }
}
