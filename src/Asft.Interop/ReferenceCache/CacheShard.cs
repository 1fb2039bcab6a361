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
    /// <param name="states">The examples' states.</param>
    public static CacheShard Write(CacheDirectory directory, int number, long first, IReadOnlyList<Tensor> states)
    {
        string name = NameOf(number);
        long bytes = 0;
        string sha256 = string.Empty;
        directory.WriteWhole(name, file =>
        {
            SafeTensors.Write(file, [.. states.Select((tensor, i) => (Example(first + i), tensor))]);
            bytes = file.Position;
            sha256 = Checksum(file);
        });
        return new CacheShard(name, first, states.Count, bytes, sha256);
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
    /// <param name="type">Dtype of the states.</param>
    /// <param name="hiddenSize">Their last dimension.</param>
    /// <returns>The file, and where the states of each example lie in it.</returns>
    /// <exception cref="InvalidDataException">It is damaged.</exception>
    public (FileStream File, SafeTensor[] Examples) Open(CacheDirectory directory, ScalarType type, long hiddenSize)
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
            if (tensors.Count != Count)
            {
                throw Damaged.File(file.Name, $"it holds {tensors.Count} examples, and {Count} by the index of the reference cache");
            }

            var examples = new SafeTensor[tensors.Count];
            for (int i = 0; i < examples.Length; i++)
            {
                examples[i] = tensors.TryGetValue(Example(First + i), out SafeTensor? states)
                    && states.Type == type
                    && states.Shape.Length == 2
                    && states.Shape[1] == hiddenSize
                    ? states
                    : throw Damaged.File(file.Name, $"it does not hold example {First + i} as the index of the reference cache has it");
            }

            return (file, examples);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private static string Example(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static string Checksum(FileStream file)
    {
        file.Position = 0;
        return Convert.ToHexStringLower(SHA256.HashData(file));
    }
}
