namespace Asft.Interop.Tests.Cache;

/// <summary>
/// Whatever the file system refuses, and however stubbornly the caller goes on: a cache that can be opened holds the right references.
/// </summary>
/// <param name="kept">The form that the cache has.</param>
[TestFixture(Hidden)]
[TestFixture(Labels)]
[TestFixture(TopK)]
public class CacheFaultTests(string kept) : CacheTest(kept)
{
    private static readonly string[] s_reading = ["length", "open", "read", "close"];
    private static readonly string[] s_writing = ["length", "make", "lock", "delete", "new", "write", "read", "flush", "close", "rename"];

    /// <summary>How a caller goes on after a failure.</summary>
    public enum Stubborn
    {
        /// <summary>With the example that the writer names.</summary>
        ByNextExample,

        /// <summary>With the one after that which failed.</summary>
        ByItsOwnCount,
    }

    /// <summary>In an empty directory, or where an interrupted writer has left its files.</summary>
    [Test]
    public void EveryOperationFailsOnce([Values(Fault.Before, Fault.After)] Fault fault, [Values] Stubborn how, [Values] bool begun)
    {
        TokenReference[] references = References();
        FaultyDirectory sound = New("sound", Sound);
        Assert.That(Write(sound, references, how).Finished);
        Assert.That(sound.Operations.Distinct(), Is.EquivalentTo(begun ? [.. s_writing, "open"] : s_writing));
        for (int failing = 0; failing < sound.Operations.Count; failing++)
        {
            int number = failing;
            FaultyDirectory faulty = New($"{failing}", operation => operation == number ? fault : Fault.None);
            string what = $"operation {failing}, {sound.Operations[failing]}";
            (bool finished, long done) = Write(faulty, references, how);
            Assert.That(finished, Is.False, what);
            AssertRightOrIncomplete(faulty.Path, references, what);

            // A new writer goes on, and not from before what is known to be there.
            var again = new FaultyDirectory(faulty.Path, Sound);
            using (ReferenceCacheWriter writer = OpenWriter(again, references))
            {
                Assert.That(writer.NextExample, Is.GreaterThanOrEqualTo(done), what);
            }

            Assert.That(Write(again, references, how).Finished, what);
            AssertRight(faulty.Path, references, what);
        }

        FaultyDirectory New(string name, Func<int, Fault> faults)
        {
            string path = Path.Combine(Folder, name);
            if (begun)
            {
                using ReferenceCacheWriter writer = OpenWriter(new FaultyDirectory(path, Sound), references);
                Array.ForEach(references[..4], writer.Append);
                Assert.That(Directory.GetFiles(path, "*.safetensors"), Is.Not.Empty);
            }

            return new FaultyDirectory(path, faults);
        }
    }

    /// <summary>Writer after writer, each of which may fail anywhere, in the end makes the cache.</summary>
    [Test]
    public void ManyFaults([Range(0, 19)] int seed, [Values] Stubborn how)
    {
        TokenReference[] references = References();
        var random = new Random(seed);
        bool finished = false;
        for (int writers = 0; !finished; writers++)
        {
            Assert.That(writers, Is.LessThan(1000));
            var faulty = new FaultyDirectory(Folder, _ => random.Next(30) == 0 ? (Fault)random.Next(1, 3) : Fault.None);
            finished = Write(faulty, references, how).Finished;
            AssertRightOrIncomplete(Folder, references, $"after writer {writers}");
        }

        AssertRight(Folder, references, "in the end");
    }

    /// <summary>A read that fails is an error once, and the cache goes on.</summary>
    [Test]
    public void EveryReadFailsOnce([Values(Fault.Before, Fault.After)] Fault fault)
    {
        TokenReference[] references = References();
        Make(references, Files(tokens: 5)).Dispose();
        var sound = new FaultyDirectory(Folder, Sound);
        Assert.That(FailuresOfReading(sound, references), Is.Zero);
        Assert.That(sound.Operations.Distinct(), Is.EquivalentTo(s_reading));
        for (int failing = 0; failing < sound.Operations.Count; failing++)
        {
            int number = failing;
            var faulty = new FaultyDirectory(Folder, operation => operation == number ? fault : Fault.None);
            Assert.That(FailuresOfReading(faulty, references), Is.EqualTo(1), $"operation {failing}, {sound.Operations[failing]}");
        }
    }

    /// <summary>
    /// The same without any injection: the index cannot be written, since a directory stands where its new contents go. Then it can.
    /// </summary>
    [Test]
    public void AWriterThatFailedTakesNoMore([Values(3, 7)] int examples)
    {
        TokenReference[] references = References();
        using (ReferenceCacheWriter writer = OpenWriter(examples: examples, options: new ReferenceCacheOptions { ShardBytes = 1 }))
        {
            writer.Append(references[0]);
            writer.Append(references[1]);
            string obstacle = IndexPath + ".partial";
            Directory.CreateDirectory(obstacle);
            Assert.Throws<UnauthorizedAccessException>(() => writer.Append(references[2]));
            Directory.Delete(obstacle);
            Assert.That(writer.NextExample, Is.EqualTo(2), "the last example that is known to be written was 1");
            InvalidOperationException? error = Assert.Throws<InvalidOperationException>(() => writer.Append(references[2]));
            Assert.That(error?.Message, Does.Contain("has failed").And.Contain(Folder));
            Assert.That(error?.InnerException, Is.TypeOf<UnauthorizedAccessException>());
        }

        using ReferenceCacheWriter next = OpenWriter(examples: examples, options: new ReferenceCacheOptions { ShardBytes = 1 });
        Assert.That(next.NextExample, Is.EqualTo(2));
    }

    [Test]
    public void NothingIsWrittenAfterDispose()
    {
        TokenReference[] references = References();
        ReferenceCacheWriter writer = OpenWriter(options: new ReferenceCacheOptions { ShardBytes = 1 });
        writer.Append(references[0]);
        writer.Dispose();
        writer.Dispose();
        string index = File.ReadAllText(IndexPath);
        Assert.Throws<ObjectDisposedException>(() => writer.Append(references[1]));
        Assert.Throws<ObjectDisposedException>(() => _ = writer.NextExample);
        Assert.Throws<ObjectDisposedException>(() => _ = writer.Examples);
        Assert.That(File.ReadAllText(IndexPath), Is.EqualTo(index));
        Assert.That(Shards(), Has.Length.EqualTo(1));
    }

    /// <summary>Were it deleted, a writer that had opened it before that could lock it beside one that makes it anew.</summary>
    [Test]
    public void TheLockFileStays()
    {
        OpenWriter().Dispose();
        Assert.That(File.Exists(Path.Combine(Folder, "writing.lock")));
    }

    private static Fault Sound(int operation) => Fault.None;

    private ReferenceCacheWriter OpenWriter(CacheDirectory directory, TokenReference[] references) =>
        new(directory, Identity, references.Length, Form, Files(tokens: 5));

    /// <summary>
    /// Writes what is missing, on and on after failures, and disposes the writer.
    /// </summary>
    /// <returns>Whether the writer says that it has finished, and how many examples it says are written.</returns>
    private (bool Finished, long Done) Write(CacheDirectory directory, TokenReference[] references, Stubborn how)
    {
        (bool finished, long done) = (false, 0);
        try
        {
            using ReferenceCacheWriter writer = OpenWriter(directory, references);
            bool failed = false;
            long own = writer.NextExample;
            for (int attempt = 0; attempt < 2 * references.Length; attempt++, own++)
            {
                long example = how == Stubborn.ByNextExample ? writer.NextExample : own;
                if (example >= references.Length)
                {
                    break;
                }

                try
                {
                    writer.Append(references[example]);
                    Assert.That(failed, Is.False, "a writer that has failed took an example");
                }
                catch (InvalidOperationException error) when (failed)
                {
                    Assert.That(error.InnerException, Is.InstanceOf<IOException>());
                }
                catch (IOException)
                {
                    failed = true;
                }
            }

            done = writer.NextExample;
            finished = done == writer.Examples;
            Assert.That(finished, Is.Not.EqualTo(failed));
        }
        catch (IOException)
        {
            // The writer could not be opened.
        }

        return (finished, done);
    }

    /// <summary>Reads every example twice, whatever fails.</summary>
    private static int FailuresOfReading(CacheDirectory directory, TokenReference[] references)
    {
        int failures = 0;
        try
        {
            using ReferenceCache cache = ReferenceCache.Open(directory, Identity);
            for (int i = 0; i < 2 * references.Length; i++)
            {
                try
                {
                    AssertSame(cache.Read(i / 2), references[i / 2]);
                }
                catch (IOException)
                {
                    failures++;
                }
            }
        }
        catch (IOException)
        {
            failures++; // the cache could not be opened, or not closed
        }

        return failures;
    }

    private static void AssertRightOrIncomplete(string path, TokenReference[] references, string what)
    {
        try
        {
            AssertRight(path, references, what);
        }
        catch (FileNotFoundException)
        {
            // Nothing was begun.
        }
        catch (InvalidDataException error)
        {
            Assert.That(error.Message, Does.Contain("was interrupted"), what);
        }
    }

    private static void AssertRight(string path, TokenReference[] references, string what)
    {
        using ReferenceCache cache = ReferenceCache.Open(path, Identity);
        for (int i = 0; i < references.Length; i++)
        {
            AssertSame(cache.Read(i), references[i], $"example {i}, {what}");
        }
    }
}
