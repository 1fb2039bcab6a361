using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Writes a <see cref="ReferenceCache"/>, example by example and in order. An interrupted run is continued by opening the same
/// directory again: <see cref="NextExample"/> tells where. Only one writer can be open in a directory that has no complete cache; a
/// complete one is not written again, so any number may look at it. When the file system refuses a write, the writer takes no more
/// examples, since nobody can tell what is on the disk: a new one looks. Not for use by several threads at once.
/// </summary>
public sealed class ReferenceCacheWriter : IDisposable
{
    /// <summary>Keeps the header of a file of small examples well below the format's limit.</summary>
    private const int MaxExamplesOfShard = 10_000;

    private readonly CacheDirectory _directory;
    private readonly ReferenceCacheOptions _options;
    private readonly IDisposable? _lock;
    private readonly ReferenceCacheForm _form;
    private readonly CachePart[] _parts;
    private readonly List<Tensor[]> _waiting = [];
    private long _waitingBytes;
    private CacheIndex _index;
    private Exception? _failure;
    private bool _disposed;

    /// <summary>Begins a cache, or continues one.</summary>
    /// <param name="directory">Where its files go; made if it is not there.</param>
    /// <param name="identity">What the cache is made from.</param>
    /// <param name="examples">Number of examples in the data set, at least 0.</param>
    /// <param name="form">What is kept of each token.</param>
    /// <param name="options">How it is written; null for the default.</param>
    /// <exception cref="ArgumentException">An argument is null, empty or out of range.</exception>
    /// <exception cref="InvalidDataException">
    /// There is a cache already that was made from something else: the message says which of model, head and data set differ, or
    /// what else, such as the form. Or its index is damaged, or a file of it is missing or has another size than it had.
    /// </exception>
    /// <exception cref="IOException">Another writer is at work there, or the file system refuses.</exception>
    /// <exception cref="UnauthorizedAccessException">Files there may not be written.</exception>
    public ReferenceCacheWriter(
        string directory, ReferenceCacheIdentity identity, long examples, ReferenceCacheForm form, ReferenceCacheOptions? options = null)
        : this(new CacheDirectory(directory), identity, examples, form, options)
    {
    }

    /// <summary>The same for a directory whose file operations may be others.</summary>
    internal ReferenceCacheWriter(
        CacheDirectory directory, ReferenceCacheIdentity identity, long examples, ReferenceCacheForm form, ReferenceCacheOptions? options)
    {
        ArgumentNullException.ThrowIfNull(identity);
        ArgumentNullException.ThrowIfNull(form);
        if (examples < 0)
        {
            throw OutOfRange.Of(nameof(examples), examples, "at least 0");
        }

        _directory = directory;
        _options = options ?? new ReferenceCacheOptions();
        _form = form;
        ScalarType type = form.TypeOf(_options.StorageType);
        _parts = form.Parts(type);
        var empty = CacheIndex.Empty(identity, form, type, examples);
        if (Find(identity, empty) is { IsComplete: true } complete)
        {
            _index = complete;
            return;
        }

        directory.Make();
        _lock = directory.Lock();
        try
        {
            // Looked for again: until the lock was there, another writer may have gone on.
            if (Find(identity, empty) is { } begun)
            {
                _index = begun;
            }
            else
            {
                empty.Write(directory);
                _index = empty;
            }
        }
        catch
        {
            _lock.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Number of the example to be appended next; those before it are written, or wait for their file to fill. After a failure, the
    /// first one that is not known to be written.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The writing has ended.</exception>
    public long NextExample
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _index.Done + _waiting.Count;
        }
    }

    /// <summary>Number of examples in the data set.</summary>
    /// <exception cref="ObjectDisposedException">The writing has ended.</exception>
    public long Examples
    {
        get
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _index.Examples;
        }
    }

    /// <summary>Takes the reference of example <see cref="NextExample"/>.</summary>
    /// <param name="reference">
    /// What the cache's form says, of T tokens: hidden states <c>[T, d]</c>, also as a plain tensor and without a head; log-probabilities
    /// <c>[T]</c> of the labels; or indices and log-probabilities <c>[T, K]</c>. Any floating dtype, int64 or int32 indices, any device; copied,
    /// not kept. Their values are not looked at, except that an index must be in [0, 2^31).
    /// </param>
    /// <exception cref="ArgumentException">
    /// It is null, disposed or of another form, or has another shape, a dtype of another kind or an index out of range.
    /// </exception>
    /// <exception cref="InvalidOperationException">
    /// All examples have been appended; or writing failed before, and the inner exception says how.
    /// </exception>
    /// <exception cref="IOException">
    /// The file system refuses. The examples that were waiting are given up, and the writer takes no more: a new one goes on after the
    /// last whole file.
    /// </exception>
    /// <exception cref="ObjectDisposedException">The writing has ended.</exception>
    public void Append(TokenReference reference)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_failure is not null)
        {
            throw new InvalidOperationException(
                $"Writing the reference cache in '{_directory.Path}' has failed, so this writer takes no more examples. Dispose it and open a new one, "
                + $"which goes on after the last whole file. The failure was: {_failure.Message}",
                _failure);
        }

        ArgumentNullException.ThrowIfNull(reference);
        foreach (Tensor tensor in reference.Tensors)
        {
            TokenArguments.CheckUsable(tensor, nameof(reference));
        }

        if (!_form.Matches(reference))
        {
            throw new ArgumentException(
                $"reference must be {_form}, which this cache keeps; got {ReferenceCacheForm.Describe(reference)}.", nameof(reference));
        }

        if (NextExample == Examples)
        {
            throw new InvalidOperationException(Invariant($"All {Examples} examples have been appended."));
        }

        using (no_grad())
        {
            _waiting.Add(CachePart.CopyAll(_parts, reference.Tensors, nameof(reference)));
        }

        _waitingBytes += _waiting[^1].Sum(SafeTensors.Bytes);
        if (_waitingBytes >= _options.ShardBytes || _waiting.Count == MaxExamplesOfShard || NextExample == Examples)
        {
            try
            {
                WriteShard();
            }
            catch (Exception error)
            {
                // Whether the file or the index reached the disk is not known, only that nothing after it may be written.
                _failure = error;
                ForgetWaiting();
                throw;
            }
        }
    }

    /// <summary>
    /// Ends the writing. Examples that still wait for their file to fill are given up; a later writer is asked for them again.
    /// </summary>
    public void Dispose()
    {
        _disposed = true;
        ForgetWaiting();
        _lock?.Dispose();
    }

    /// <summary>The index of the cache that is there, if one is.</summary>
    private CacheIndex? Find(ReferenceCacheIdentity identity, CacheIndex asked)
    {
        CacheIndex? index = CacheIndex.Find(_directory, identity);
        return index is null || (index.Examples == asked.Examples && index.Form == asked.Form && index.Type == asked.Type)
            ? index
            : throw new InvalidDataException(Invariant(
                $"The reference cache in '{_directory.Path}' has {index.Examples} examples of {index.Form} in {index.Type}; ")
                + Invariant($"asked for are {asked.Examples} of {asked.Form} in {asked.Type}. Use another directory, or delete it."));
    }

    private void WriteShard()
    {
        var shard = CacheShard.Write(_directory, _index.Shards.Count, _index.Done, _parts, _waiting);

        // Only what is whole on the disk is put into the index, and only what is in the index on the disk counts as done.
        CacheIndex index = _index with { Shards = [.. _index.Shards, shard] };
        index.Write(_directory);
        _index = index;
        ForgetWaiting();
    }

    private void ForgetWaiting()
    {
        _waiting.ForEach(tensors => Array.ForEach(tensors, tensor => tensor.Dispose()));
        _waiting.Clear();
        _waitingBytes = 0;
    }
}
