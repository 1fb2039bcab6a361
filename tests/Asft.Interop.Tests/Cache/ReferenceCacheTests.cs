using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>What a cache gives back, and how an interrupted one is continued.</summary>
/// <param name="kept">The form that the cache has.</param>
[TestFixture(Hidden)]
[TestFixture(Labels)]
[TestFixture(TopK)]
public class ReferenceCacheTests(string kept) : CacheTest(kept)
{
    /// <summary>float32 keeps every bit, bfloat16 is one rounding; both whatever the number of files.</summary>
    [Test]
    public void RoundTrip([Values(ScalarType.Float32, ScalarType.BFloat16)] ScalarType type, [Values(0, 8, 1000)] int tokensInAFile)
    {
        TokenReference[] references = References();
        ScalarType stored = Kept == Labels ? ScalarType.Float32 : type;
        using ReferenceCache cache = Make(references, tokensInAFile == 0 ? new() { StorageType = type, ShardBytes = 1 } : Files(tokensInAFile, type));
        Assert.That((cache.Count, cache.Form, cache.StorageType), Is.EqualTo((references.LongLength, Form, stored)));
        Assert.That(Shards(), Has.Length.EqualTo(tokensInAFile switch { 0 => 6, 8 => 2, _ => 1 }), "an example of no tokens is in the next one's file");
        foreach (int example in (int[])[6, 0, 3, 2, 5, 1, 4])
        {
            TokenReference read = cache.Read(example);
            Assert.That(read.Tensors[^1].dtype, Is.EqualTo(stored));
            AssertSame(read, references[example]);
            Assert.That(cache.Tokens(example), Is.EqualTo(Lengths[example]));
        }
    }

    [Test]
    public void ABatchIsPadded([Values(null, 9L)] long? length)
    {
        TokenReference[] references = References();
        using ReferenceCache cache = Make(references, Files(tokens: 4));
        int[] examples = [2, 6, 3, 2];
        TokenReference batch = cache.ReadBatch([.. examples.Select(example => (long)example)], length);
        for (int i = 0; i < examples.Length; i++)
        {
            long tokens = Lengths[examples[i]];
            AssertSame(Form.Combine([.. batch.Tensors.Select(tensor => tensor[i].narrow(0, 0, tokens))]), references[examples[i]]);
            Tensor[] padding = [.. batch.Tensors.Select(tensor => tensor[i].narrow(0, tokens, (length ?? 7) - tokens))];
            if (Kept == TopK)
            {
                Assert.That(Values(padding[0]), Is.EqualTo(Values(arange(Entries).expand(padding[0].shape))));
                Assert.That(Values(padding[1]), Is.All.EqualTo(Math.Log(0.5 / Entries)).Within(1e-6));
            }
            else
            {
                Assert.That(Values(padding[0]), Is.All.Zero);
            }
        }

        long[] none = cache.ReadBatch([]).Tensors[0].shape;
        Assert.That(none[..2], Is.EqualTo(new[] { 0, 0 }));
        Assert.That(none[2..], Is.EqualTo(references[0].Tensors[0].shape[1..]));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.ReadBatch([0, 2], 6));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Read(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => cache.Read(7));
    }

    /// <summary>
    /// A writer that stopped anywhere is continued where its last whole file ends, and what comes out is the same.
    /// </summary>
    [Test]
    public void AnInterruptedWriterIsContinued([Range(0, 7)] int stopAt)
    {
        TokenReference[] references = References();
        ReferenceCacheOptions options = Files(tokens: 5);
        using (var writer = new ReferenceCacheWriter(Folder, Identity, references.Length, Form, options))
        {
            for (int i = 0; i < stopAt; i++)
            {
                writer.Append(references[i]);
            }
        }

        // What a process leaves that is killed while it writes a file, or between a file and the index.
        File.WriteAllText(Path.Combine(Folder, $"shard-{Shards().Length:D5}.safetensors"), "half a file");
        File.WriteAllText(Path.Combine(Folder, "shard-00003.safetensors.partial"), "half");
        File.WriteAllText(Path.Combine(Folder, "index.json.partial"), "{");
        if (stopAt < references.Length)
        {
            InvalidDataException error = Refused(() => ReferenceCache.Open(Folder, Identity));
            Assert.That(error.Message, Does.Contain("interrupted").And.Contain($"of {references.Length} examples"));
        }

        List<long> asked = [];
        using ReferenceCache cache = ReferenceCache.OpenOrCreate(
            Folder,
            Identity,
            references.Length,
            Form,
            example =>
            {
                asked.Add(example);
                return Copy(references[example]);
            },
            options);
        Assert.That(asked, Is.EqualTo(Enumerable.Range(0, references.Length).Select(i => (long)i).Skip(references.Length - asked.Count)));
        Assert.That(asked, Has.Count.LessThanOrEqualTo(references.Length - stopAt + 3).And.Count.GreaterThanOrEqualTo(references.Length - stopAt));
        for (int i = 0; i < references.Length; i++)
        {
            AssertSame(cache.Read(i), references[i]);
        }

        // A complete cache asks for nothing.
        ReferenceCache.OpenOrCreate(Folder, Identity, references.Length, Form, _ => throw new AssertionException("asked"), options).Dispose();
    }

    [Test]
    public void AFailureKeepsWhatWasWritten()
    {
        TokenReference[] references = References();
        var options = new ReferenceCacheOptions { ShardBytes = 1 };
        Assert.Throws<NotFiniteNumberException>(() => ReferenceCache.OpenOrCreate(
            Folder, Identity, 7, Form, i => i < 4 ? Copy(references[i]) : throw new NotFiniteNumberException(), options));
        using var writer = new ReferenceCacheWriter(Folder, Identity, 7, Form, options);
        Assert.That(writer.NextExample, Is.EqualTo(4).Or.EqualTo(3)); // an example of no tokens waits for the next one
    }

    /// <summary>However many examples have few bytes or none, a file's header stays one that any reader takes.</summary>
    [Test]
    public void ManySmallExamples()
    {
        TokenReference nothing = Reference(0);
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

    /// <summary>A thread that has no dispose scope gets tensors that are there until they are disposed.</summary>
    [Test]
    public void NoScopeIsNeeded()
    {
        TokenReference[] references = References();
        using ReferenceCache cache = Make(references);
        using TokenReference read = Task.Run(() => cache.Read(2)).Result;
        using TokenReference batch = Task.Run(() => cache.ReadBatch([2])).Result;
        AssertSame(read, references[2]);
        AssertSame(Form.Combine([.. batch.Tensors.Select(tensor => tensor[0])]), references[2]);
    }

    /// <summary>Nothing is left of what was read or written but the tensors given out.</summary>
    [Test]
    public void LeavesNoTensors()
    {
        TokenReference[] references = References();
        long before = Tensor.TotalCount;
        using (ReferenceCache cache = Make(references, Files(tokens: 8, ScalarType.BFloat16)))
        {
            for (int i = 0; i < 50; i++)
            {
                cache.ReadBatch([1, 2]).Dispose();
                cache.Read(2).Dispose();
            }

            // What nobody disposes belongs to the scope that it was read in.
            using DisposeScope scope = NewDisposeScope();
            cache.ReadBatch([1, 2]);
            cache.Read(2);
        }

        using (ReferenceCacheWriter writer = OpenWriter(Identity with { }, options: Files(tokens: 8, ScalarType.BFloat16)))
        {
            Assert.That(writer.NextExample, Is.EqualTo(writer.Examples));
        }

        Assert.That(Tensor.TotalCount, Is.EqualTo(before));
    }
}
