using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The hidden states of a frozen reference model over a data set, on disk. They never change, so they are computed once; later
/// epochs give them to <c>AsftFunctional.linear_asft_loss</c> as <c>referenceHidden</c>, run no reference model, and need
/// none in memory. The KL divergence stays the exact one over the whole vocabulary, which caches of the largest few
/// log-probabilities only approach.
/// </summary>
/// <remarks>
/// A directory of safetensors files and an index with their checksums. Each file is checked against them when an example in it is
/// first read, so that no damaged state is taken for a whole one. Not for use by several threads at once.
/// </remarks>
public sealed class ReferenceCache : IDisposable
{
    private readonly string _directory;
    private readonly CacheIndex _index;
    private readonly OpenShard?[] _open;

    private ReferenceCache(string directory, CacheIndex index)
    {
        _directory = directory;
        _index = index;
        _open = new OpenShard?[index.Shards.Count];
    }

    /// <summary>Number of examples.</summary>
    public long Count => _index.Examples;

    /// <summary>Size d of a hidden state.</summary>
    public long HiddenSize => _index.HiddenSize;

    /// <summary>Dtype of the hidden states: bfloat16 or float32.</summary>
    public ScalarType StorageType => _index.Type;

    /// <summary>Opens a complete cache.</summary>
    /// <param name="directory">Where it is.</param>
    /// <param name="identity">What it must have been made from.</param>
    /// <returns>The cache.</returns>
    /// <exception cref="FileNotFoundException">There is no cache.</exception>
    /// <exception cref="InvalidDataException">
    /// It was made from another model, head or data set (the message says which), it is not complete, its index is damaged, or a
    /// file of it is missing or has another size than it had.
    /// </exception>
    public static ReferenceCache Open(string directory, ReferenceCacheIdentity identity)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        ArgumentNullException.ThrowIfNull(identity);
        string path = Path.Combine(directory, CacheIndex.FileName);
        if (!File.Exists(path))
        {
            throw new FileNotFoundException($"There is no reference cache in '{directory}'.", path);
        }

        CacheIndex index = CacheIndex.Read(directory);
        index.CheckIdentity(directory, identity);
        if (index.Done < index.Examples)
        {
            throw new InvalidDataException(
                $"The reference cache in '{directory}' has {index.Done} of {index.Examples} examples: its writing was interrupted. Continue it with a ReferenceCacheWriter.");
        }

        foreach (CacheShard shard in index.Shards)
        {
            shard.CheckSize(directory);
        }

        return new ReferenceCache(directory, index);
    }

    /// <summary>Opens a cache, after making it or what is missing of it.</summary>
    /// <param name="directory">Where it is or will be.</param>
    /// <param name="identity">What it is made from.</param>
    /// <param name="examples">Number of examples in the data set.</param>
    /// <param name="hiddenSize">Size d of a hidden state.</param>
    /// <param name="hidden">
    /// Hidden states <c>[T, d]</c> of the example with a number, called for each missing one, in order, with autograd off; the
    /// tensors that it makes are disposed. To run the reference on several examples at once, use a
    /// <see cref="ReferenceCacheWriter"/>.
    /// </param>
    /// <param name="options">How it is written; null for the default.</param>
    /// <returns>The cache.</returns>
    /// <exception cref="InvalidDataException">As for <see cref="Open"/> and for <see cref="ReferenceCacheWriter"/>.</exception>
    /// <exception cref="ArgumentException">
    /// An argument is null or out of range, or <paramref name="hidden"/> returned another shape.
    /// </exception>
    public static ReferenceCache OpenOrCreate(
        string directory,
        ReferenceCacheIdentity identity,
        long examples,
        long hiddenSize,
        Func<long, Tensor> hidden,
        ReferenceCacheOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(hidden);
        using (var writer = new ReferenceCacheWriter(directory, identity, examples, hiddenSize, options))
        {
            using IDisposable noGrad = no_grad();
            while (writer.NextExample < writer.Examples)
            {
                using var scope = NewDisposeScope();
                writer.Append(hidden(writer.NextExample));
            }
        }

        return Open(directory, identity);
    }

    /// <summary>Number of tokens of an example.</summary>
    /// <param name="example">Number of the example, in <c>[0, Count)</c>.</param>
    /// <returns>The number of tokens.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such example.</exception>
    /// <exception cref="InvalidDataException">The example's file is damaged.</exception>
    public long Tokens(long example) => Find(example).Tokens;

    /// <summary>Hidden states of one example.</summary>
    /// <param name="example">Number of the example, in <c>[0, Count)</c>.</param>
    /// <returns>A new tensor <c>[T, d]</c> in host memory, of the dtype they are stored in.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such example.</exception>
    /// <exception cref="InvalidDataException">The example's file is damaged.</exception>
    public Tensor Read(long example)
    {
        (OpenShard shard, long offset, long tokens) = Find(example);
        Tensor states = TensorMemory.Empty([tokens, HiddenSize], StorageType, CPU);
        ReadInto(states, shard, offset);
        return states;
    }

    /// <summary>Hidden states of several examples, padded with zeros at their ends.</summary>
    /// <param name="examples">Numbers of the examples, each in <c>[0, Count)</c>.</param>
    /// <param name="length">Number of tokens T to pad to; null for that of the longest.</param>
    /// <returns>
    /// A new tensor <c>[examples, T, d]</c> in host memory, of the dtype they are stored in: the <c>referenceHidden</c> of the
    /// batch.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// There is no such example, or one is longer than <paramref name="length"/>.
    /// </exception>
    /// <exception cref="InvalidDataException">An example's file is damaged.</exception>
    public Tensor ReadBatch(IReadOnlyList<long> examples, long? length = null)
    {
        ArgumentNullException.ThrowIfNull(examples);
        long longest = examples.Count == 0 ? 0 : examples.Max(Tokens);
        if (length < longest)
        {
            throw new ArgumentOutOfRangeException(nameof(length), length, $"length must be at least that of the longest example, {longest}.");
        }

        using IDisposable noGrad = no_grad();
        Tensor batch = zeros([examples.Count, length ?? longest, HiddenSize], StorageType, CPU);
        for (int i = 0; i < examples.Count; i++)
        {
            (OpenShard shard, long offset, long tokens) = Find(examples[i]);
            using Tensor row = batch.select(0, i);
            using Tensor states = row.narrow(0, 0, tokens);
            ReadInto(states, shard, offset);
        }

        return batch;
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        foreach (OpenShard? shard in _open)
        {
            shard?.File.Dispose();
        }
    }

    private static unsafe void ReadInto(Tensor states, OpenShard shard, long offset) =>
        SafeTensors.Read(shard.File, TensorMemory.Pointer(states), states.numel() * SafeTensors.SizeOf(states.dtype), offset);

    private (OpenShard Shard, long Offset, long Tokens) Find(long example)
    {
        if (example < 0 || example >= Count)
        {
            throw new ArgumentOutOfRangeException(nameof(example), example, $"The cache has the examples 0 to {Count - 1}.");
        }

        int low = 0;
        int high = _open.Length - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            (low, high) = _index.Shards[middle].First <= example ? (middle, high) : (low, middle - 1);
        }

        OpenShard shard = _open[low] ??= OpenChecked(_index.Shards[low]);
        (long offset, long tokens) = shard.Entries[example - _index.Shards[low].First];
        return (shard, offset, tokens);
    }

    /// <summary>Opens a file and checks every byte of it.</summary>
    private OpenShard OpenChecked(CacheShard shard)
    {
        shard.CheckSize(_directory);
        string path = Path.Combine(_directory, shard.File);
        using (FileStream stream = File.OpenRead(path))
        {
            if (Convert.ToHexStringLower(SHA256.HashData(stream)) != shard.Sha256)
            {
                throw new InvalidDataException($"'{path}' is damaged: its checksum is not that of the cache's index. Delete the cache and make it again.");
            }
        }

        SafeFileHandle file = File.OpenHandle(path);
        try
        {
            return new OpenShard(file, SafeTensors.ReadHeader(file, shard, StorageType, HiddenSize));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private sealed record OpenShard(SafeFileHandle File, (long Offset, long Tokens)[] Entries);
}
