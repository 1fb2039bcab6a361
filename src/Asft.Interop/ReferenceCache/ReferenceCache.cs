using Asft.Kernels;
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
/// first read, so that no damaged state is taken for a whole one. A complete cache is only read: any number of processes can have it
/// open at once, and it may lie where nothing can be written. Not for use by several threads at once.
/// </remarks>
public sealed class ReferenceCache : IDisposable
{
    private readonly CacheDirectory _directory;
    private readonly CacheIndex _index;
    private readonly (FileStream File, SafeTensor[] Examples)?[] _open;
    private bool _disposed;

    private ReferenceCache(CacheDirectory directory, CacheIndex index)
    {
        _directory = directory;
        _index = index;
        _open = new (FileStream, SafeTensor[])?[index.Shards.Count];
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
    public static ReferenceCache Open(string directory, ReferenceCacheIdentity identity) => Open(new CacheDirectory(directory), identity);

    /// <summary>The same for a directory whose file operations may be others.</summary>
    internal static ReferenceCache Open(CacheDirectory directory, ReferenceCacheIdentity identity)
    {
        ArgumentNullException.ThrowIfNull(identity);
        CacheIndex index = CacheIndex.Find(directory, identity)
            ?? throw new FileNotFoundException($"There is no reference cache in '{directory.Path}'.", directory.PathOf(CacheIndex.FileName));
        return index.IsComplete
            ? new ReferenceCache(directory, index)
            : throw new InvalidDataException(Invariant(
                $"The reference cache in '{directory.Path}' has {index.Done} of {index.Examples} examples: its writing was interrupted. Continue it with a ReferenceCacheWriter."));
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
    /// <exception cref="InvalidDataException">As for <see cref="Open(string, ReferenceCacheIdentity)"/> and for <see cref="ReferenceCacheWriter"/>.</exception>
    /// <exception cref="ArgumentException">
    /// An argument is null or out of range, or <paramref name="hidden"/> returned another shape.
    /// </exception>
    /// <exception cref="IOException">
    /// It is not complete, and another process is writing it, or the file system refuses. Calling again goes on after the last whole
    /// file.
    /// </exception>
    /// <exception cref="UnauthorizedAccessException">It is not complete, and may not be written.</exception>
    public static ReferenceCache OpenOrCreate(
        string directory,
        ReferenceCacheIdentity identity,
        long examples,
        long hiddenSize,
        Func<long, Tensor> hidden,
        ReferenceCacheOptions? options = null) =>
        OpenOrCreate(new CacheDirectory(directory), identity, examples, hiddenSize, hidden, options);

    /// <summary>The same for a directory whose file operations may be others.</summary>
    internal static ReferenceCache OpenOrCreate(
        CacheDirectory directory,
        ReferenceCacheIdentity identity,
        long examples,
        long hiddenSize,
        Func<long, Tensor> hidden,
        ReferenceCacheOptions? options)
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
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public long Tokens(long example) => Find(example).States.Shape[0];

    /// <summary>Hidden states of one example.</summary>
    /// <param name="example">Number of the example, in <c>[0, Count)</c>.</param>
    /// <returns>A new tensor <c>[T, d]</c> in host memory, of the dtype they are stored in.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such example.</exception>
    /// <exception cref="InvalidDataException">The example's file is damaged.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public Tensor Read(long example)
    {
        (FileStream file, SafeTensor states) = Find(example);
        Tensor read = TensorMemory.Empty(states.Shape, StorageType, CPU);
        try
        {
            SafeTensors.Read(file, states, read);
            return read;
        }
        catch
        {
            read.Dispose();
            throw;
        }
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
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public Tensor ReadBatch(IReadOnlyList<long> examples, long? length = null)
    {
        ArgumentNullException.ThrowIfNull(examples);
        long longest = examples.Count == 0 ? 0 : examples.Max(Tokens);
        if (length < longest)
        {
            throw OutOfRange.Of(nameof(length), length, Invariant($"at least that of the longest example, {longest}"));
        }

        using IDisposable noGrad = no_grad();
        Tensor batch = zeros([examples.Count, length ?? longest, HiddenSize], StorageType, CPU);
        try
        {
            for (int i = 0; i < examples.Count; i++)
            {
                (FileStream file, SafeTensor states) = Find(examples[i]);
                using Tensor row = batch.select(0, i);
                using Tensor into = row.narrow(0, 0, states.Shape[0]);
                SafeTensors.Read(file, states, into);
            }

            return batch;
        }
        catch
        {
            batch.Dispose();
            throw;
        }
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        _disposed = true;
        foreach ((FileStream File, SafeTensor[])? shard in _open)
        {
            shard?.File.Dispose();
        }
    }

    private (FileStream File, SafeTensor States) Find(long example)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (example < 0 || example >= Count)
        {
            throw OutOfRange.Of(nameof(example), example, Invariant($"one of the cache's examples, 0 to {Count - 1}"));
        }

        int low = 0;
        int high = _open.Length - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            (low, high) = _index.Shards[middle].First <= example ? (middle, high) : (low, middle - 1);
        }

        CacheShard shard = _index.Shards[low];
        (FileStream file, SafeTensor[] states) = _open[low] ??= shard.Open(_directory, StorageType, HiddenSize);
        return (file, states[example - shard.First]);
    }
}
