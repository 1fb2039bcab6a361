using System.Runtime.CompilerServices;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The logits of one loss with <c>inPlace</c>: memory that its gradient overwrites, in the forward or in the backward pass. Keeps the
/// loss from computing with what somebody else has written there since, and later losses from taking the gradient for logits.
/// </summary>
/// <remarks>
/// Torch's own means is one version for all views of a tensor, so a write to one half would forbid the backward pass of a loss on
/// the other. Here, the version that a loss expects is carried over the writes of other losses to other rows; a write by anything else still
/// shows as a version that is not the expected one.
/// </remarks>
internal sealed class InPlaceWrite
{
    private static readonly Lock s_lock = new();
    private static readonly List<WeakReference<InPlaceWrite>> s_all = [];

    /// <summary>Keeps a write known for as long as the logits that the caller gave, whatever becomes of the loss.</summary>
    private static readonly ConditionalWeakTable<Tensor, InPlaceWrite> s_ofLogits = [];

    private readonly WeakReference<Tensor> _logits;
    private readonly RowMemory _rows;
    private long _version;
    private bool _isWritten;
    private bool _isOver;

    private InPlaceWrite(Tensor logits)
    {
        _logits = new WeakReference<Tensor>(logits);
        _rows = new RowMemory(logits);
        _version = TorchFacts.Version(logits);
    }

    /// <summary>The logits are there, and the address of their memory cannot be another tensor's.</summary>
    private bool IsAlive => _logits.TryGetTarget(out Tensor? logits) && !logits.IsInvalid;

    /// <summary>Announces that a loss is going to overwrite logits; nothing is written yet.</summary>
    /// <param name="logits">The logits as the caller gave them.</param>
    public static InPlaceWrite Announce(Tensor logits)
    {
        var write = new InPlaceWrite(logits);
        lock (s_lock)
        {
            s_all.RemoveAll(known => !known.TryGetTarget(out InPlaceWrite? other) || (other._isOver && !other.IsAlive));
            s_all.Add(new WeakReference<InPlaceWrite>(write));
            s_ofLogits.AddOrUpdate(logits, write);
        }

        return write;
    }

    /// <summary>Refuses logits whose memory holds the gradient of an earlier loss, unless it was changed since.</summary>
    /// <param name="tensor">Logits that are about to be read.</param>
    /// <param name="name">What the caller calls them.</param>
    /// <exception cref="InvalidOperationException">They are overwritten.</exception>
    public static void ThrowIfOverwritten(Tensor tensor, string name)
    {
        lock (s_lock)
        {
            if (s_all.Count == 0)
            {
                return;
            }

            var rows = new RowMemory(tensor);
            if (Others(rows).Any(write => write._isWritten && write.IsAlive && write._version == TorchFacts.Version(tensor) && write._rows.Meets(rows)))
            {
                throw new InvalidOperationException(
                    $"{name} {TensorMemory.Describe(tensor)} share memory with the logits of an earlier loss with inPlace: true, and hold its gradient. "
                    + "Compute them anew, or use inPlace: false for the earlier loss.");
            }
        }
    }

    /// <summary>
    /// A tensor for the graph to save, from which <see cref="ThrowIfChanged"/> and <see cref="Overwrite"/> get to the version. It hangs
    /// on another one, whose version nobody raises, as the gradient of that: torch itself checks the version of what it gives back.
    /// </summary>
    /// <param name="logits">The logits.</param>
    public static Tensor Witness(Tensor logits)
    {
        using Tensor view = logits.detach();
        using Tensor nothing = view.as_strided([0], [1], view.storage_offset());
        Tensor witness = TensorMemory.Empty([0], logits.dtype, logits.device);
        witness.grad = nothing;
        return witness;
    }

    /// <summary>A tensor over the memory of the logits that does not share their version.</summary>
    public static Tensor Alias(Tensor logits)
    {
        using Tensor view = logits.detach();
        return TensorMemory.Empty([0], logits.dtype, logits.device).set_(view);
    }

    /// <summary>Throws if anything but losses on other rows has written to the logits.</summary>
    /// <param name="witness">A <see cref="Witness"/> of the logits.</param>
    /// <exception cref="InvalidOperationException">Something has.</exception>
    public void ThrowIfChanged(Tensor witness)
    {
        using Tensor logits = witness.grad!;
        long version = TorchFacts.Version(logits);
        lock (s_lock)
        {
            if (version != _version)
            {
                throw new InvalidOperationException(
                    Invariant($"The logits of a loss with inPlace: true have been modified by an inplace operation before its backward pass: they are at version {version}; expected version {_version}."));
            }
        }
    }

    /// <summary>
    /// Tells autograd, which cannot see it, that the logits are about to be overwritten: whoever saved them, or a view of them, for a
    /// backward pass raises an error instead of computing with the new contents. So do losses with <c>inPlace</c> on any of the same rows.
    /// </summary>
    /// <param name="witness">A <see cref="Witness"/> of the logits.</param>
    public void Overwrite(Tensor witness)
    {
        using Tensor logits = witness.grad!;
        lock (s_lock)
        {
            long before = TorchFacts.Version(logits);
            logits.zero_(); // no element at all: it touches nothing but the version
            long after = TorchFacts.Version(logits);
            foreach (InPlaceWrite other in Others(_rows))
            {
                if (other._version == before && (other == this || !other._rows.Meets(_rows)))
                {
                    other._version = after;
                }
            }

            _isWritten = true;
        }
    }

    /// <summary>No backward pass will ask for the logits any more.</summary>
    public void Finish() => _isOver = true;

    /// <summary>Every known write to the same storage.</summary>
    private static IEnumerable<InPlaceWrite> Others(RowMemory rows)
    {
        foreach (WeakReference<InPlaceWrite> reference in s_all)
        {
            if (reference.TryGetTarget(out InPlaceWrite? write) && write._rows.Storage == rows.Storage)
            {
                yield return write;
            }
        }
    }
}
