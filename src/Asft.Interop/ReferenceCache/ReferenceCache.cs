using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// What a frozen reference model says about a data set, on disk, in one <see cref="ReferenceCacheForm"/>. It never changes, so it is
/// computed once; later epochs give it to a loss as its <c>reference</c>, run no reference model, and need none in memory. Of hidden
/// states, the KL divergence is the exact one over the whole vocabulary; the other forms are smaller, and for estimates and lower bounds of it.
/// </summary>
/// <remarks>
/// A directory of safetensors files and an index with their checksums. Each file is checked against them when an example in it is
/// first read, so that nothing damaged is taken for whole. A complete cache is only read: any number of processes can have it
/// open at once, and it may lie where nothing can be written. Not for use by several threads at once.
/// </remarks>
public sealed class ReferenceCache : IDisposable
{
    private readonly CacheDirectory _directory;
    private readonly CacheIndex _index;
    private readonly CachePart[] _parts;
    private readonly (FileStream File, SafeTensor[][] Examples)?[] _open;
    private bool _disposed;

    private ReferenceCache(CacheDirectory directory, CacheIndex index)
    {
        _directory = directory;
        _index = index;
        Form = index.Form;
        _parts = Form.Parts(index.Type);
        _open = new (FileStream, SafeTensor[][])?[index.Shards.Count];
    }

    /// <summary>Number of examples.</summary>
    public long Count => _index.Examples;

    /// <summary>What is kept of each token.</summary>
    public ReferenceCacheForm Form { get; }

    /// <summary>Dtype of hidden states or log-probabilities: bfloat16 or float32.</summary>
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
    /// <param name="form">What is kept of each token.</param>
    /// <param name="reference">
    /// The reference of the example with a number, as <see cref="ReferenceCacheWriter.Append"/> takes it: for hidden states, a plain tensor
    /// <c>[T, d]</c>. Called for each missing one, in order, with autograd off; the tensors that it makes are disposed. To run the reference on
    /// several examples at once, use a <see cref="ReferenceCacheWriter"/>.
    /// </param>
    /// <param name="options">How it is written; null for the default.</param>
    /// <returns>The cache.</returns>
    /// <exception cref="InvalidDataException">As for <see cref="Open(string, ReferenceCacheIdentity)"/> and for <see cref="ReferenceCacheWriter"/>.</exception>
    /// <exception cref="ArgumentException">
    /// An argument is null or out of range, or <paramref name="reference"/> returned what <see cref="ReferenceCacheWriter.Append"/> refuses.
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
        ReferenceCacheForm form,
        Func<long, TokenReference> reference,
        ReferenceCacheOptions? options = null) =>
        OpenOrCreate(new CacheDirectory(directory), identity, examples, form, reference, options);

    /// <summary>The same for a directory whose file operations may be others.</summary>
    internal static ReferenceCache OpenOrCreate(
        CacheDirectory directory,
        ReferenceCacheIdentity identity,
        long examples,
        ReferenceCacheForm form,
        Func<long, TokenReference> reference,
        ReferenceCacheOptions? options)
    {
        ArgumentNullException.ThrowIfNull(reference);
        using (var writer = new ReferenceCacheWriter(directory, identity, examples, form, options))
        {
            using IDisposable noGrad = no_grad();
            while (writer.NextExample < writer.Examples)
            {
                using var scope = NewDisposeScope();
                writer.Append(reference(writer.NextExample));
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
    public long Tokens(long example) => Find(example).Tensors[0].Shape[0];

    /// <summary>The reference of one example, bit for bit as it is stored.</summary>
    /// <param name="example">Number of the example, in <c>[0, Count)</c>.</param>
    /// <returns>
    /// New tensors in host memory, of the caller's dispose scope: hidden states <c>[T, d]</c>; log-probabilities <c>[T]</c> of the labels; or
    /// indices and log-probabilities <c>[T, K]</c>. Indices are int32, all else is of the <see cref="StorageType"/>.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException">There is no such example.</exception>
    /// <exception cref="InvalidDataException">The example's file is damaged.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public TokenReference Read(long example)
    {
        (FileStream file, SafeTensor[] tensors) = Find(example);
        using DisposeScope scope = NewDisposeScope();
        var read = new Tensor[_parts.Length];
        for (int part = 0; part < read.Length; part++)
        {
            read[part] = TensorMemory.Empty(tensors[part].Shape, _parts[part].Type, CPU);
            SafeTensors.Read(file, tensors[part], read[part]);
        }

        return Return(read);
    }

    /// <summary>The reference of several examples, padded at their ends: the <c>reference</c> of a loss on this batch.</summary>
    /// <param name="examples">Numbers of the examples, each in <c>[0, Count)</c>.</param>
    /// <param name="length">Number of tokens T to pad to; null for that of the longest.</param>
    /// <returns>
    /// New tensors like those of <see cref="Read"/>, with a dimension for the examples before T. Padding is a valid reference, for labels that are
    /// ignored: hidden states and log-probabilities of labels are 0; the most likely entries are 0 to K - 1, equally likely, together at 1/2.
    /// </returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// There is no such example, or one is longer than <paramref name="length"/>.
    /// </exception>
    /// <exception cref="InvalidDataException">An example's file is damaged.</exception>
    /// <exception cref="ObjectDisposedException">The cache has been closed.</exception>
    public TokenReference ReadBatch(IReadOnlyList<long> examples, long? length = null)
    {
        ArgumentNullException.ThrowIfNull(examples);
        long longest = examples.Count == 0 ? 0 : examples.Max(Tokens);
        if (length < longest)
        {
            throw OutOfRange.Of(nameof(length), length, Invariant($"at least that of the longest example, {longest}"));
        }

        using IDisposable noGrad = no_grad();
        using DisposeScope scope = NewDisposeScope();
        Tensor[] batch = Array.ConvertAll(
            _parts, part => TensorMemory.Empty([examples.Count, length ?? longest, .. part.Shape], part.Type, CPU).copy_(part.Padding()));
        for (int row = 0; row < examples.Count; row++)
        {
            (FileStream file, SafeTensor[] tensors) = Find(examples[row]);
            for (int part = 0; part < batch.Length; part++)
            {
                SafeTensors.Read(file, tensors[part], batch[part].select(0, row).narrow(0, 0, tensors[part].Shape[0]));
            }
        }

        return Return(batch);
    }

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        _disposed = true;
        foreach ((FileStream File, SafeTensor[][])? shard in _open)
        {
            shard?.File.Dispose();
        }
    }

    /// <summary>A reference of tensors, which leave the scope that they were made in.</summary>
    private TokenReference Return(Tensor[] parts)
    {
        Array.ForEach(parts, tensor => tensor.MoveToOuterDisposeScope());
        return Form.Combine(parts);
    }

    private (FileStream File, SafeTensor[] Tensors) Find(long example)
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
        (FileStream file, SafeTensor[][] examples) = _open[low] ??= shard.Open(_directory, _parts);
        return (file, examples[example - shard.First]);
    }
}
