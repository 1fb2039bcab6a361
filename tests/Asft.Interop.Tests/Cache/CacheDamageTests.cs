using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using static TorchSharp.torch;

namespace Asft.Interop.Tests.Cache;

/// <summary>Whatever is wrong with a file, the error is the same one, and names the file and the reason.</summary>
/// <param name="kept">The form that the cache has.</param>
[TestFixture(Hidden)]
[TestFixture(Labels)]
[TestFixture(TopK)]
public class CacheDamageTests(string kept) : CacheTest(kept)
{
    /// <summary>Whichever byte of a file is damaged, no example in it is given out.</summary>
    [Test]
    public void ADamagedFileIsRefused()
    {
        Make(References()).Dispose();
        string path = Shards().Single();
        byte[] whole = File.ReadAllBytes(path);
        for (int i = 0; i < whole.Length; i += 5)
        {
            byte[] damaged = [.. whole];
            damaged[i] ^= 0x10;
            File.WriteAllBytes(path, damaged);
            AssertFileRefused("checksum");
        }
    }

    [Test]
    public void ATruncatedOrMissingFileIsRefused([Values] bool missing, [Values(1, 100)] int bytes)
    {
        Make(References()).Dispose();
        string path = Shards().Single();
        if (missing)
        {
            File.Delete(path);
        }
        else
        {
            using FileStream stream = File.OpenWrite(path);
            stream.SetLength(stream.Length - bytes);
        }

        string says = missing ? "is missing" : "bytes";
        Assert.That(Refused(() => ReferenceCache.Open(Folder, Identity)).Message, Does.Contain("shard-00000").And.Contain(says));
        Assert.That(Refused(() => OpenWriter()).Message, Does.Contain("shard-00000").And.Contain(says));
    }

    /// <summary>A file that becomes shorter while it is open.</summary>
    [Test]
    public void AFileThatIsTruncatedLaterIsRefused()
    {
        Make(References()).Dispose();
        using ReferenceCache cache = ReferenceCache.Open(Folder, Identity);
        cache.Read(0).Dispose();
        if (OperatingSystem.IsWindows())
        {
            Assert.Ignore("Windows lets nobody truncate an open file.");
        }

        Truncate(Shards().Single(), 100);
        long before = Tensor.TotalCount;
        Assert.That(Refused(() => cache.Read(6)).Message, Does.Contain("shard-00000").And.Contain("ends before byte"));
        Assert.That(Refused(() => cache.ReadBatch([5, 6])).Message, Does.Contain("shard-00000").And.Contain("ends before byte"));
        Assert.That(Tensor.TotalCount, Is.EqualTo(before));
    }

    /// <summary>An index that says that a file has as many examples as memory could never hold.</summary>
    [Test]
    public void AnImpossibleCountIsRefused([Values(8L, 1L << 40, long.MaxValue)] long count)
    {
        Make(References()).Dispose();
        EditIndex(index => (index["examples"], index["shards"]![0]!["count"]) = (count, count));
        AssertFileRefused($"each of {count} examples");
    }

    [Test]
    public void ADamagedIndexIsRefused([Values("", "{", "{}", "null", "[1]", "3", "{\"format\":\"other\"}")] string text)
    {
        Make(References()).Dispose();
        File.WriteAllText(IndexPath, text);
        AssertIndexRefused();
    }

    [Test]
    public void AnIndexThatEndsTooEarlyIsRefused()
    {
        Make(References()).Dispose();
        string whole = File.ReadAllText(IndexPath);
        for (int length = 0; length < whole.Length; length += 7)
        {
            File.WriteAllText(IndexPath, whole[..length]);
            Assert.That(Refused(() => ReferenceCache.Open(Folder, Identity)).Message, Does.Contain("index.json' is damaged"));
        }
    }

    /// <summary>One value of the index is another, written as JSON.</summary>
    [Test]
    public void AWrongValueInTheIndexIsRefused(
        [Values("version", "model", "dtype", "form", "size", "examples", "shards", "shards.file", "shards.first", "shards.count", "shards.bytes", "shards.sha256")]
        string where)
    {
        Make(References(), Files(tokens: 8)).Dispose();
        JsonNode index = JsonNode.Parse(File.ReadAllText(IndexPath))!;
        JsonNode at = where.StartsWith("shards.", StringComparison.Ordinal) ? index["shards"]![1]! : index;
        at[where.Split('.')[^1]] = "(here)";
        string text = index.ToJsonString();
        string[] values =
        [
            "null", "-1", "1e400", "9223372036854775807", "9223372036854775808", "0.5",
            "[]", "[null]", "{}", "\"\"", "\"a\\u0000b\"", "\"..\"", "\"\\ud800\"",
        ];
        foreach (string value in values)
        {
            File.WriteAllText(IndexPath, text.Replace("\"(here)\"", value, StringComparison.Ordinal));
            InvalidDataException error = Refused(ReadAll);
            Assert.That(error.Message, Does.Contain(Folder), value);
            Assert.That(
                error.Message,
                Does.Contain("' is damaged: ").Or.Contain("this library reads version 2").Or.Contain("another model").Or.Contain("was interrupted"),
                value);
        }
    }

    [Test]
    public void AnotherListOfFilesIsRefused([Values("gap", "twice", "outside", "count", "overflow")] string kind)
    {
        Make(References(), new ReferenceCacheOptions { ShardBytes = 1 }).Dispose();
        EditIndex(index =>
        {
            JsonArray shards = index["shards"]!.AsArray();
            switch (kind)
            {
                case "gap":
                    shards.RemoveAt(1);
                    break;
                case "twice":
                    shards.Insert(1, shards[0]!.DeepClone());
                    break;
                case "outside":
                    shards[0]!["file"] = "../elsewhere.safetensors";
                    break;
                case "count":
                    index["examples"] = 3;
                    break;
                case "overflow":
                    index["examples"] = long.MaxValue;
                    shards[0]!["count"] = long.MaxValue;
                    (shards[1]!["first"], shards[1]!["count"]) = (long.MaxValue, long.MaxValue);
                    break;
            }
        });
        AssertIndexRefused();
    }

    [Test]
    public void AnIndexOfAnotherVersionIsRefused()
    {
        Make(References()).Dispose();
        EditIndex(index =>
        {
            // As version 1 was: of hidden states only.
            index["version"] = 1;
            index.Remove("form");
            index.Remove("size");
            index["hiddenSize"] = Width;
        });
        Assert.That(Refused(() => ReferenceCache.Open(Folder, Identity)).Message, Does.Contain("index.json' has version 1"));
    }

    /// <summary>Sparse files: sizes that nobody would want to read into memory.</summary>
    [Test]
    public void AnEndlessIndexIsRefused()
    {
        Make(References()).Dispose();
        Truncate(IndexPath, 1L << 33);
        AssertIndexRefused();
    }

    /// <summary>Nobody writes into the pipe, so whoever opens it waits for ever.</summary>
    [Test]
    public void WhatIsNoFileIsRefusedAtOnce([Values("pipe", "directory", "device", "link to a pipe")] string kind, [Values] bool shard)
    {
        if (OperatingSystem.IsWindows() && kind != "directory")
        {
            Assert.Ignore("Windows has no such thing among its files.");
        }

        Make(References()).Dispose();
        string path = shard ? Shards().Single() : IndexPath;
        File.Delete(path);
        switch (kind)
        {
            case "pipe":
                MakePipe(path);
                break;
            case "link to a pipe":
                MakePipe(path + ".pipe");
                File.CreateSymbolicLink(path, path + ".pipe");
                break;
            case "directory":
                Directory.CreateDirectory(path);
                break;
            default:
                File.CreateSymbolicLink(path, "/dev/zero");
                break;
        }

        foreach (Action open in (Action[])[() => ReferenceCache.Open(Folder, Identity), () => OpenWriter(), () => Make([])])
        {
            Task<InvalidDataException> refused = Task.Run(() => Refused(open));
            Assert.That(refused.Wait(TimeSpan.FromMinutes(1)), "it waits for ever");
            Assert.That(refused.Result.Message, Does.Contain(Path.GetFileName(path) + "' is damaged: "));
        }
    }

    /// <summary>What is left of an earlier run, or was put there, where a new file is to be made.</summary>
    [Test]
    public void ANewFileTakesThePlaceOfAnything([Values("index.json.partial", "shard-00000.safetensors.partial")] string name)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Ignore("Windows has no such thing among its files.");
        }

        MakePipe(Path.Combine(Folder, name));
        TokenReference[] references = References();
        Task<ReferenceCache> made = Task.Run(() => Make(references, Files(tokens: 8)));
        Assert.That(made.Wait(TimeSpan.FromMinutes(1)), "it waits for ever");
        using ReferenceCache cache = made.Result;
        AssertSame(cache.Read(2), references[2]);
    }

    /// <summary>Numbers are written the same way wherever the user is, on the disk and in messages.</summary>
    [Test]
    public void TheCultureDoesNotMatter()
    {
        TokenReference[] references = References();
        Make(references).Dispose();
        Dictionary<string, byte[]> before = Directory.GetFiles(Folder).ToDictionary(path => path, File.ReadAllBytes);
        foreach (string path in before.Keys)
        {
            File.Delete(path);
        }

        CultureInfo culture = CultureInfo.CurrentCulture;
        var other = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        (other.NumberFormat.NegativeSign, other.NumberFormat.NumberDecimalSeparator) = ("minus ", ",");
        CultureInfo.CurrentCulture = other;
        try
        {
            Make(references).Dispose();
            foreach ((string path, byte[] bytes) in before)
            {
                Assert.That(File.ReadAllBytes(path), Is.EqualTo(bytes), path);
            }

            Replace([.. BitConverter.GetBytes(-5L), .. new byte[100]]);
            AssertFileRefused(" -5 bytes");
            EditIndex(index => index["examples"] = -7);
            Assert.That(Refused(() => ReferenceCache.Open(Folder, Identity)).Message, Does.Contain("-7 examples"));
        }
        finally
        {
            CultureInfo.CurrentCulture = culture;
        }
    }

    [DllImport("libc", EntryPoint = "mkfifo", CharSet = CharSet.Ansi, ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int MakePipe([MarshalAs(UnmanagedType.LPStr)] string path, int mode);

    private static void MakePipe(string path) => Assert.That(MakePipe(path, 0b110_000_000), Is.Zero, path);

    private static void Truncate(string path, long length)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);
        file.SetLength(length);
    }

    private void ReadAll()
    {
        using ReferenceCache cache = ReferenceCache.Open(Folder, Identity);
        for (int i = 0; i < Lengths.Length; i++)
        {
            cache.Read(i).Dispose();
        }
    }

    private void AssertIndexRefused()
    {
        long length = new FileInfo(IndexPath).Length;
        Assert.That(Refused(() => ReferenceCache.Open(Folder, Identity)).Message, Does.Contain("index.json' is damaged: "));
        Assert.That(Refused(() => OpenWriter()).Message, Does.Contain("index.json' is damaged: "));
        Assert.That(new FileInfo(IndexPath).Length, Is.EqualTo(length), "a refused cache is left as it is");
    }
}
