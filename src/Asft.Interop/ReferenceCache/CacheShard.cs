using System.Globalization;
using System.Security.Cryptography;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>One file of a cache: which examples are in it, and what it must look like.</summary>
internal sealed record CacheShard(string File, long First, long Count, long Bytes, string Sha256)
{
    /// <summary>Name of the file with a number.</summary>
    public static string NameOf(int number) => string.Create(CultureInfo.InvariantCulture, $"shard-{number:D5}.safetensors");

    /// <summary>Writes the next file of a cache, whole or not at all.</summary>
    /// <param name="directory">The cache's directory.</param>
    /// <param name="number">Number of the file.</param>
    /// <param name="first">Number of its first example.</param>
    /// <param name="parts">What an example's tensors are.</param>
    /// <param name="examples">The examples' tensors.</param>
    public static CacheShard Write(CacheDirectory directory, int number, long first, CachePart[] parts, IReadOnlyList<Tensor[]> examples)
    {
        string name = NameOf(number);
        long bytes = 0;
        string sha256 = string.Empty;
        directory.WriteWhole(name, file =>
        {
            SafeTensors.Write(file, [.. examples.SelectMany((tensors, i) => tensors.Select((tensor, part) => (NameOf(first + i, parts[part]), tensor)))]);
            bytes = file.Position;
            sha256 = Checksum(file);
        });
        return new CacheShard(name, first, examples.Count, bytes, sha256);
    }

    /// <summary>
    /// Throws if the file is missing or has another size than it must have: a quick check, not that of its contents.
    /// </summary>
    /// <exception cref="InvalidDataException">It is missing or has another size.</exception>
    public void CheckSize(CacheDirectory directory)
    {
        string path = directory.PathOf(File);
        long length = directory.LengthOf(File) ?? throw Damaged.File(path, $"it is missing");
        if (length != Bytes)
        {
            throw Damaged.File(path, $"it has {length} bytes, and {Bytes} by the index of the reference cache");
        }
    }

    /// <summary>Opens the file and checks every byte of it.</summary>
    /// <param name="directory">The cache's directory.</param>
    /// <param name="parts">What an example's tensors are.</param>
    /// <returns>The file, and where the tensors of each example lie in it.</returns>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public (FileStream File, SafeTensor[][] Examples) Open(CacheDirectory directory, CachePart[] parts)
    {
        CheckSize(directory);
        FileStream file = directory.OpenRead(File);
        try
        {
            if (Checksum(file) != Sha256)
            {
                throw Damaged.File(file.Name, $"its checksum is not that of the cache's index");
            }

            Dictionary<string, SafeTensor> tensors = SafeTensors.ReadHeader(file);
            if (tensors.Count / parts.Length != Count || tensors.Count % parts.Length != 0)
            {
                throw Damaged.File(file.Name, $"it holds {tensors.Count} tensors, {parts.Length} each of {Count} examples by the index of the reference cache");
            }

            var examples = new SafeTensor[Count][];
            for (int i = 0; i < examples.Length; i++)
            {
                examples[i] = Find(tensors, First + i, parts)
                    ?? throw Damaged.File(file.Name, $"it does not hold example {First + i} as the index of the reference cache has it");
            }

            return (file, examples);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Name of a tensor: the example's number, and what it is.</summary>
    private static string NameOf(long example, CachePart part) => string.Create(CultureInfo.InvariantCulture, $"{example}.{part.Name}");

    /// <summary>An example's tensors, all of as many tokens; null if they are not there.</summary>
    private static SafeTensor[]? Find(Dictionary<string, SafeTensor> tensors, long example, CachePart[] parts)
    {
        var found = new SafeTensor[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!tensors.TryGetValue(NameOf(example, parts[i]), out SafeTensor? tensor)
                || tensor.Type != parts[i].Type
                || !parts[i].Fits(tensor.Shape)
                || (i > 0 && tensor.Shape[0] != found[0].Shape[0]))
            {
                return null;
            }

            found[i] = tensor;
        }

        return found;
    }

    private static string Checksum(FileStream file)
    {
        file.Position = 0;
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }
}
