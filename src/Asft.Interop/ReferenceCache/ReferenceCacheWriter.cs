using System.Globalization;
using System.Security.Cryptography;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// Writes a <see cref="ReferenceCache"/>, example by example and in order. An interrupted run is continued by opening the same
/// directory again: <see cref="NextExample"/> tells where. Only one writer can be open in a directory. Not for use by several
/// threads at once.
/// </summary>
public sealed class ReferenceCacheWriter : IDisposable
{
    private readonly string _directory;
    private readonly ReferenceCacheOptions _options;
    private readonly FileStream _lock;
    private readonly List<Tensor> _waiting = [];
    private long _waitingBytes;
    private CacheIndex _index;

    /// <summary>Begins a cache, or continues one.</summary>
    /// <param name="directory">Where its files go; made if it is not there.</param>
    /// <param name="identity">What the cache is made from.</param>
    /// <param name="examples">Number of examples in the data set, at least 0.</param>
    /// <param name="hiddenSize">Size d of a hidden state, above 0.</param>
    /// <param name="options">How it is written; null for the default.</param>
    /// <exception cref="ArgumentException">An argument is null, empty or out of range.</exception>
    /// <exception cref="InvalidDataException">
    /// There is a cache already that was made from something else: the message says which of model, head and data set differ, or
    /// what else. Or its index is damaged, or a file of it is missing or has another size than it had.
    /// </exception>
    /// <exception cref="IOException">Another writer is at work there, or the file system refuses.</exception>
    public ReferenceCacheWriter(
        string directory, ReferenceCacheIdentity identity, long examples, long hiddenSize, ReferenceCacheOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        ArgumentNullException.ThrowIfNull(identity);
        if (examples < 0)
        {
            throw OutOfRange.Of(nameof(examples), examples, "at least 0");
        }

        if (hiddenSize <= 0)
        {
            throw OutOfRange.Of(nameof(hiddenSize), hiddenSize, "above 0");
        }

        _directory = directory;
        _options = options ?? new ReferenceCacheOptions();
        Directory.CreateDirectory(directory);
        _lock = new FileStream(
            Path.Combine(directory, "writing.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        try
        {
            _index = File.Exists(Path.Combine(directory, CacheIndex.FileName))
                ? Continue(identity, examples, hiddenSize)
                : CacheIndex.Empty(identity, _options.StorageType, hiddenSize, examples);
            _index.Write(directory);
        }
        catch
        {
            _lock.Dispose();
            throw;
        }
    }

    /// <summary>Number of the example to be appended next; those before it are written, or wait for their file to fill.</summary>
    public long NextExample => _index.Done + _waiting.Count;

    /// <summary>Number of examples in the data set.</summary>
    public long Examples => _index.Examples;

    /// <summary>Takes the hidden states of example <see cref="NextExample"/>.</summary>
    /// <param name="hidden">Hidden states <c>[T, d]</c> before the head, any floating dtype and device; copied, not kept.</param>
    /// <exception cref="ArgumentException">The tensor has another shape or dtype.</exception>
    /// <exception cref="InvalidOperationException">All examples have been appended.</exception>
    public void Append(Tensor hidden)
    {
        LossArguments.CheckUsable(hidden, nameof(hidden));
        if (TensorMemory.TypeOf(hidden) is null || hidden.dim() != 2 || hidden.size(1) != _index.HiddenSize)
        {
            throw new ArgumentException(
                Invariant($"hidden must be a floating-point tensor of the shape [T, {_index.HiddenSize}]; got {TensorMemory.Describe(hidden)}."), nameof(hidden));
        }

        if (NextExample == Examples)
        {
            throw new InvalidOperationException(Invariant($"All {Examples} examples have been appended."));
        }

        using (no_grad())
        {
            _waiting.Add(TensorMemory.Empty(hidden.shape, _index.Type, CPU).copy_(hidden.detach()).DetachFromDisposeScope());
        }

        _waitingBytes += hidden.numel() * SafeTensors.SizeOf(_index.Type);
        if (_waitingBytes >= _options.ShardBytes || NextExample == Examples)
        {
            WriteShard();
        }
    }

    /// <summary>
    /// Ends the writing. Examples that still wait for their file to fill are given up; a later writer is asked for them again.
    /// </summary>
    public void Dispose()
    {
        _waiting.ForEach(tensor => tensor.Dispose());
        _waiting.Clear();
        _lock.Dispose();
    }

    private CacheIndex Continue(ReferenceCacheIdentity identity, long examples, long hiddenSize)
    {
        CacheIndex index = CacheIndex.Read(_directory);
        index.CheckIdentity(_directory, identity);
        if (index.Examples != examples || index.HiddenSize != hiddenSize || index.Type != _options.StorageType)
        {
            throw new InvalidDataException(
                Invariant($"The reference cache in '{_directory}' has {index.Examples} examples with {index.HiddenSize} features in {index.Type}; ")
                + Invariant($"asked for are {examples} with {hiddenSize} in {_options.StorageType}. Use another directory, or delete it."));
        }

        foreach (CacheShard shard in index.Shards)
        {
            shard.CheckSize(_directory);
        }

        return index;
    }

    private void WriteShard()
    {
        string name = string.Create(CultureInfo.InvariantCulture, $"shard-{_index.Shards.Count:D5}.safetensors");
        long bytes = 0;
        string sha256 = string.Empty;
        WholeFile.Write(Path.Combine(_directory, name), stream =>
        {
            SafeTensors.Write(stream, _index.Done, _waiting);
            bytes = stream.Position;
            stream.Position = 0;
            sha256 = Convert.ToHexStringLower(SHA256.HashData(stream));
        });

        // Only what is whole on the disk is put into the index.
        _index = _index with { Shards = [.. _index.Shards, new CacheShard(name, _index.Done, _waiting.Count, bytes, sha256)] };
        _index.Write(_directory);
        _waiting.ForEach(tensor => tensor.Dispose());
        _waiting.Clear();
        _waitingBytes = 0;
    }
}
