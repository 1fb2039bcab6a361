using System.Text.Json.Nodes;
using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Tests.Cache;

/// <summary>What a cache gives back, how an interrupted one is continued, and which arguments it refuses.</summary>
public class ReferenceCacheTests : CacheTest
{
    /// <summary>float32 keeps every bit, bfloat16 is one rounding; both whatever the number of files.</summary>
    [Test]
    public void RoundTrip([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type, [Values(1L, 100L, 1_000_000L)] long shardBytes)
    {
        Tensor[] states = States();
        using ReferenceCache cache = Make(states, new ReferenceCacheOptions { StorageType = type, ShardBytes = shardBytes });
        Assert.That((cache.Count, cache.HiddenSize, cache.StorageType), Is.EqualTo((states.LongLength, Width, type)));
        foreach (int example in (int[])[6, 0, 3, 2, 5, 1, 4])
        {
            Tensor read = cache.Read(example);
            Assert.That(read.dtype, Is.EqualTo(type));
            Assert.That(read.shape, Is.EqualTo(new[] { Lengths[example], Width }));
            Assert.That(Values(read), Is.EqualTo(Values(states[example].to(type))));
            Assert.That(cache.Tokens(example), Is.EqualTo(Lengths[example]));
        }
    }

    [Test]
    public void ABatchIsPadded([Values(null, 9L)] long? length)
    {
        Tensor[] states = States();
        using ReferenceCache cache = Make(states, new ReferenceCacheOptions { StorageType = ScalarType.Float32, ShardBytes = 100 });
        Tensor batch = cache.ReadBatch([2, 6, 3, 2], length);
        Assert.That(batch.shape, Is.EqualTo(new[] { 4, length ?? 7, Width }));
        long[] examples = [2, 6, 3, 2];
        for (int i = 0; i < examples.Length; i++)
        {
            long tokens = Lengths[examples[i]];
            Assert.That(Values(batch[i].narrow(0, 0, tokens)), Is.EqualTo(Values(states[examples[i]])));
            Assert.That(Values(batch[i].narrow(0, tokens, batch.size(1) - tokens)), Is.All.Zero);
        }

        Assert.That(cache.ReadBatch([]).shape, Is.EqualTo(new[] { 0, 0, Width }));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.ReadBatch([0, 2], 6));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Read(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Read(7));
    }

    /// <summary>
    /// Any reader of safetensors can read the files: the header's offsets, counted from its end, hold the values.
    /// </summary>
    [Test]
    public void FilesAreSafetensors()
    {
        Tensor[] states = States();
        Make(states, new ReferenceCacheOptions { StorageType = ScalarType.Float32 }).Dispose();
        byte[] file = File.ReadAllBytes(Shards().Single());
        int header = (int)BitConverter.ToInt64(file, 0);
        Assert.That((8 + header) % 8, Is.Zero);
        JsonObject entries = JsonNode.Parse(file.AsSpan(8, header))!.AsObject();
        Assert.That(entries, Has.Count.EqualTo(states.Length));
        JsonNode entry = entries["2"]!;
        Assert.That((string?)entry["dtype"], Is.EqualTo("F32"));
        Assert.That(entry["shape"]!.ToJsonString(), Is.EqualTo("[7,6]"));
        int start = (int)entry["data_offsets"]![0]!;
        Assert.That((int)entry["data_offsets"]![1]! - start, Is.EqualTo(7 * 6 * 4));
        Assert.That(BitConverter.ToSingle(file, 8 + header + start), Is.EqualTo(states[2][0, 0].item<float>()));
    }

    /// <summary>
    /// The states make the same loss as those they were copied from: to the bit in float32, in bfloat16 within its rounding.
    /// </summary>
    [Test]
    public void FeedsTheLoss([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type)
    {
        Tensor[] states = [randn(4, Width), randn(4, Width)];
        using ReferenceCache cache = Make(states, new ReferenceCacheOptions { StorageType = type });
        Tensor weight = randn(20, Width);
        Tensor hidden = stack(states) + (0.5 * randn(2, 4, Width));
        Tensor labels = randint(0, 20, [2, 4], ScalarType.Int64);
        float Kl(Tensor reference) => AsftFunctional.linear_asft_loss(
            hidden, weight, labels, reference: reference, objective: LossObjective.SftKl(1)).item<float>();
        Assert.That(Kl(cache.ReadBatch([0, 1])), Is.EqualTo(Kl(stack(states))).Within(type == ScalarType.Float32 ? 0 : 2).Percent);
        Assert.That(Kl(cache.ReadBatch([0, 1])), Is.EqualTo(Kl(stack(states).to(type))));
    }

    /// <summary>
    /// A writer that stopped anywhere is continued where its last whole file ends, and what comes out is the same.
    /// </summary>
    [Test]
    public void AnInterruptedWriterIsContinued([Range(0, 7)] int stopAt)
    {
        Tensor[] states = States();
        var options = new ReferenceCacheOptions { StorageType = ScalarType.Float32, ShardBytes = 130 };
        using (var writer = new ReferenceCacheWriter(Folder, Identity, states.Length, Width, options))
        {
            for (int i = 0; i < stopAt; i++)
            {
                writer.Append(states[i]);
            }
        }

        // What a process leaves that is killed while it writes a file, or between a file and the index.
        File.WriteAllText(Path.Combine(Folder, $"shard-{Shards().Length:D5}.safetensors"), "half a file");
        File.WriteAllText(Path.Combine(Folder, "shard-00003.safetensors.partial"), "half");
        File.WriteAllText(Path.Combine(Folder, "index.json.partial"), "{");
        if (stopAt < states.Length)
        {
            InvalidDataException error = Refused(() => ReferenceCache.Open(Folder, Identity));
            Assert.That(error.Message, Does.Contain("interrupted").And.Contain($"of {states.Length} examples"));
        }

        List<long> asked = [];
        using ReferenceCache cache = ReferenceCache.OpenOrCreate(
            Folder,
            Identity,
            states.Length,
            Width,
            example =>
            {
                asked.Add(example);
                return states[example].clone();
            },
            options);
        Assert.That(asked, Is.EqualTo(Enumerable.Range(0, states.Length).Select(i => (long)i).Skip(states.Length - asked.Count)));
        Assert.That(asked, Has.Count.LessThanOrEqualTo(states.Length - stopAt + 3).And.Count.GreaterThanOrEqualTo(states.Length - stopAt));
        for (int i = 0; i < states.Length; i++)
        {
            Assert.That(Values(cache.Read(i)), Is.EqualTo(Values(states[i])));
        }

        // A complete cache asks for nothing.
        ReferenceCache.OpenOrCreate(Folder, Identity, states.Length, Width, _ => throw new AssertionException("asked"), options).Dispose();
    }

    [Test]
    public void AFailureKeepsWhatWasWritten()
    {
        Tensor[] states = States();
        var options = new ReferenceCacheOptions { ShardBytes = 1 };
        Assert.Throws<NotFiniteNumberException>(() => ReferenceCache.OpenOrCreate(
            Folder, Identity, 7, Width, i => i < 4 ? states[i].clone() : throw new NotFiniteNumberException(), options));
        using var writer = new ReferenceCacheWriter(Folder, Identity, 7, Width, options);
        Assert.That(writer.NextExample, Is.EqualTo(4).Or.EqualTo(3)); // an example of no tokens waits for the next one
    }

    [Test]
    public void AnotherIdentityIsRefusedByName()
    {
        Make(States()).Dispose();
        (ReferenceCacheIdentity Identity, string Says, string[] Silent)[] others =
        [
            (Identity with { Model = "model 2" }, "another model (cached model 1, now model 2)", ["another head", "another data set"]),
            (Identity with { Head = "head 2" }, "another head (cached head 1, now head 2)", ["another model", "another data set"]),
            (Identity with { DataSet = "data 2" }, "another data set (cached data 1, now data 2)", ["another model", "another head"]),
            (Identity with { Model = "m", DataSet = "d" }, "another model (cached model 1, now m) and another data set (cached data 1, now d)", ["another head"]),
        ];
        foreach ((ReferenceCacheIdentity identity, string says, string[] silent) in others)
        {
            foreach (Action open in (Action[])[() => ReferenceCache.Open(Folder, identity), () => OpenWriter(identity).Dispose()])
            {
                string message = Refused(open).Message;
                Assert.That(message, Does.Contain(says));
                foreach (string text in silent)
                {
                    Assert.That(message, Does.Not.Contain(text));
                }
            }
        }
    }

    [Test]
    public void OtherExamplesSizeOrTypeAreRefused()
    {
        Make(States()).Dispose();
        Assert.That(Refused(() => OpenWriter(Identity, examples: 8)).Message, Does.Contain("7 examples").And.Contain("8"));
        Assert.That(Refused(() => OpenWriter(Identity, width: 5)).Message, Does.Contain("6 features"));
        Assert.That(
            Refused(() => OpenWriter(Identity, options: new ReferenceCacheOptions { StorageType = ScalarType.Float32 })).Message,
            Does.Contain("BFloat16").And.Contain("Float32"));
    }

    [Test]
    public void BadArguments()
    {
        Assert.Throws<FileNotFoundException>(() => ReferenceCache.Open(Folder, Identity));
        Assert.Throws<ArgumentOutOfRangeException>(() => OpenWriter(Identity, examples: -1));
        Assert.Throws<ArgumentOutOfRangeException>(() => OpenWriter(Identity, width: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => OpenWriter(Identity, width: 1L << 31));
        Assert.Throws<ArgumentException>(() => ReferenceCache.Open("", Identity));
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new ReferenceCacheOptions { ShardBytes = 0 });
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = new ReferenceCacheOptions { StorageType = ScalarType.Float16 });
        using ReferenceCacheWriter writer = OpenWriter(Identity, examples: 1);
        Assert.That(Argument(() => writer.Append(zeros(3, 5))).Message, Does.Contain("[T, 6]").And.Contain("[3, 5]"));
        Assert.That(Argument(() => writer.Append(zeros(Width))).Message, Does.Contain("[T, 6]"));
        Assert.That(Argument(() => writer.Append(zeros([3, Width], ScalarType.Int64))).Message, Does.Contain("Int64"));
        writer.Append(zeros(3, Width));
        Assert.Throws<InvalidOperationException>(() => writer.Append(zeros(3, Width)));
    }

    /// <summary>A name is found again on the disk as it was given, or it is refused.</summary>
    [Test]
    public void NamesAreText()
    {
        var identity = new ReferenceCacheIdentity("\ud83d\ude00 \"model\"", "\u0000\uffff", string.Empty);
        OpenWriter(identity, examples: 0).Dispose();
        ReferenceCache.Open(Folder, identity).Dispose();
        foreach (string half in (string[])["a\ud83d", "\ude00b", "\ude00\ud83d"])
        {
            Assert.That(Argument(() => _ = new ReferenceCacheIdentity(half, "", "")).ParamName, Is.EqualTo("Model"));
            Assert.That(Argument(() => _ = identity with { Head = half }).ParamName, Is.EqualTo("Head"));
            Assert.That(Argument(() => _ = identity with { DataSet = half }).ParamName, Is.EqualTo("DataSet"));
        }

        Assert.That(Argument(() => _ = new ReferenceCacheIdentity("", null!, "")).ParamName, Is.EqualTo("Head"));
    }

    /// <summary>However many examples have few bytes or none, a file's header stays one that any reader takes.</summary>
    [Test]
    public void ManySmallExamples()
    {
        Tensor nothing = zeros(0, Width);
        using (ReferenceCacheWriter writer = OpenWriter(examples: 10_001))
        {
            while (writer.NextExample < writer.Examples)
            {
                writer.Append(nothing);
            }
        }

        using ReferenceCache cache = ReferenceCache.Open(Folder, Identity);
        Assert.That(Shards(), Has.Length.EqualTo(2));
        Assert.That((cache.Tokens(9_999), cache.Tokens(10_000)), Is.EqualTo((0, 0)));
    }

    [Test]
    public void FingerprintsTellApart()
    {
        Tensor weight = randn(4, 3);
        string[] all =
        [
            Fingerprint.Of(weight),
            Fingerprint.Of(weight, null),
            Fingerprint.Of(weight, weight),
            Fingerprint.Of(weight.reshape(3, 4)),
            Fingerprint.Of(weight.to(ScalarType.Float64)),
            Fingerprint.Of(weight + 1),
            Fingerprint.Of([[1, 2], [3]]),
            Fingerprint.Of([[1], [2, 3]]),
            Fingerprint.Of([[3], [1, 2]]),
        ];
        Assert.That(all, Is.Unique.And.All.Matches("^[0-9a-f]{64}$"));
        Assert.That(Fingerprint.Of(weight.t().contiguous().t()), Is.EqualTo(all[0]), "strides are not contents");

        using TorchSharp.Modules.Linear module = nn.Linear(3, 4);
        string before = Fingerprint.Of(module);
        Assert.That(Fingerprint.Of(module), Is.EqualTo(before));
        using (no_grad())
        {
            module.weight.add_(1);
        }

        Assert.That(Fingerprint.Of(module), Is.Not.EqualTo(before));
    }

    /// <summary>Nothing is left of what was read or written but the tensors given out.</summary>
    [Test]
    public void LeavesNoTensors()
    {
        Tensor[] states = States();
        long before = Tensor.TotalCount;
        using (ReferenceCache cache = Make(states, new ReferenceCacheOptions { ShardBytes = 100 }))
        {
            for (int i = 0; i < 50; i++)
            {
                cache.ReadBatch([1, 2]).Dispose();
                cache.Read(2).Dispose();
            }
        }

        using (ReferenceCacheWriter writer = OpenWriter(Identity with { }, options: new ReferenceCacheOptions { ShardBytes = 100 }))
        {
            Assert.That(writer.NextExample, Is.EqualTo(writer.Examples));
        }

        Assert.That(Tensor.TotalCount, Is.EqualTo(before));
    }

    private static ArgumentException Argument(Action action) =>
        Assert.Catch<ArgumentException>(() => action()) ?? throw new AssertionException("There is no exception.");
}
