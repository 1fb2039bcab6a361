namespace Asft.Interop.Tests.Cache;

/// <summary>A cache that is being written has one writer; a complete one has any number of readers, which write nothing.</summary>
/// <param name="kept">The form that the cache has.</param>
[TestFixture(Hidden)]
[TestFixture(Labels)]
[TestFixture(TopK)]
public class CacheSharingTests(string kept) : CacheTest(kept)
{
    [Test]
    public void OnlyOneWriter()
    {
        using (OpenWriter())
        {
            Assert.Catch<IOException>(() => OpenWriter());
        }

        OpenWriter().Dispose();
    }

    /// <summary>
    /// As many processes would: the system's locks on files belong to each opening of a file, not to the process. Even a lock that
    /// somebody holds is no obstacle.
    /// </summary>
    [Test]
    public void ManyReaders()
    {
        TokenReference[] references = References();
        ReferenceCacheOptions options = Files(tokens: 4);
        Make(references, options).Dispose();
        using IDisposable held = new CacheDirectory(Folder).Lock();
        ReferenceCache[] caches = [.. Enumerable.Range(0, 4).Select(_ => Make(references, options)), ReferenceCache.Open(Folder, Identity)];
        try
        {
            using ReferenceCacheWriter finished = OpenWriter(options: options);
            Assert.That(finished.NextExample, Is.EqualTo(references.Length));
            for (int i = 0; i < references.Length; i++)
            {
                foreach (ReferenceCache cache in caches)
                {
                    AssertSame(cache.Read(i), references[i]);
                }
            }
        }
        finally
        {
            Array.ForEach(caches, cache => cache.Dispose());
        }
    }

    /// <summary>So that it can lie where nothing can be written.</summary>
    [Test]
    public void ReadingWritesNothing()
    {
        TokenReference[] references = References();
        Make(references).Dispose();
        File.Delete(Path.Combine(Folder, "writing.lock"));
        (string, DateTime)[] before = Snapshot();
        var counted = new FaultyDirectory(Folder, _ => Fault.None);
        using (ReferenceCache cache = ReferenceCache.OpenOrCreate(counted, Identity, references.Length, Form, _ => throw new AssertionException("asked"), null))
        {
            cache.Read(2).Dispose();
        }

        new ReferenceCacheWriter(counted, Identity, references.Length, Form, null).Dispose();
        Assert.That(counted.Operations.Distinct(), Is.EquivalentTo(new[] { "length", "open", "read", "close" }));
        Make(references).Dispose();
        OpenWriter().Dispose();
        Assert.That(Snapshot(), Is.EqualTo(before));
        using FileStream index = new CacheDirectory(Folder).OpenRead("index.json");
        Assert.That(index.CanWrite, Is.False);
    }

    [Test]
    public void NothingIsReadAfterDispose()
    {
        ReferenceCache cache = Make(References(), new ReferenceCacheOptions { ShardBytes = 1 });
        cache.Read(0).Dispose();
        cache.Dispose();
        cache.Dispose();
        foreach (int example in (int[])[0, 6])
        {
            Assert.Throws<ObjectDisposedException>(() => cache.Read(example), "a file that was open, and one that was not");
            Assert.Throws<ObjectDisposedException>(() => cache.Tokens(example));
            Assert.Throws<ObjectDisposedException>(() => cache.ReadBatch([example]));
        }
    }

    /// <summary>Caches are kept by tools that put links in the place of files.</summary>
    [Test]
    public void FilesMayBeLinks()
    {
        TokenReference[] references = References();
        Make(references).Dispose();
        string elsewhere = Path.Combine(Folder, "elsewhere");
        Directory.CreateDirectory(elsewhere);
        foreach (string path in (string[])[IndexPath, .. Shards()])
        {
            string target = Path.Combine(elsewhere, Path.GetFileName(path));
            File.Move(path, target);
            try
            {
                File.CreateSymbolicLink(path, target);
            }
            catch (IOException error) when (OperatingSystem.IsWindows())
            {
                Assert.Ignore(error.Message); // a right that not every user has there
            }
        }

        using ReferenceCache cache = ReferenceCache.Open(Folder, Identity);
        AssertSame(cache.Read(2), references[2]);
    }

    private (string, DateTime)[] Snapshot() =>
        [.. Directory.GetFileSystemEntries(Folder).Append(Folder).Order(StringComparer.Ordinal).Select(path => (path, File.GetLastWriteTimeUtc(path)))];
}
