using Asft.Kernels;

namespace Asft.Interop;

/// <summary>
/// A part of the vocabulary's columns, where every rank of a group has another one: the logits of a loss, or the rows of a head's weight, are
/// those of <c>[FirstColumn, FirstColumn + V_shard)</c>, as many as there are. Labels are indices in the whole vocabulary. The ranks call the loss
/// with the same tokens, and get the same loss and metrics, and the gradient of their own columns.
/// </summary>
public sealed record VocabularyShard
{
    /// <summary>Describes this rank's part. All parts together are the vocabulary, each column in one of them; they need not be of one size.</summary>
    /// <param name="group">The ranks that have the parts.</param>
    /// <param name="firstColumn">The index of the first column, at least 0.</param>
    /// <param name="vocabulary">The size V of the whole vocabulary, above <paramref name="firstColumn"/>.</param>
    /// <exception cref="ArgumentNullException"><paramref name="group"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of its range.</exception>
    public VocabularyShard(IProcessGroup group, long firstColumn, long vocabulary)
    {
        ArgumentNullException.ThrowIfNull(group);
        Group = group;
        Vocabulary = vocabulary >= 1 ? vocabulary : throw OutOfRange.Of(nameof(vocabulary), vocabulary, "at least 1");
        FirstColumn = firstColumn >= 0 && firstColumn < vocabulary
            ? firstColumn
            : throw OutOfRange.Of(nameof(firstColumn), firstColumn, Invariant($"at least 0 and below the vocabulary, {vocabulary}"));
    }

    /// <summary>The ranks that have the parts.</summary>
    public IProcessGroup Group { get; }

    /// <summary>The index of the first column.</summary>
    public long FirstColumn { get; }

    /// <summary>The size V of the whole vocabulary.</summary>
    public long Vocabulary { get; }

    /// <summary>
    /// The columns of this rank where each has as many as another, or one more: what to <c>narrow</c> a head's weight to.
    /// </summary>
    /// <param name="group">The ranks.</param>
    /// <param name="vocabulary">The size V of the whole vocabulary, at least one column for each rank.</param>
    /// <returns>The shard, and its number of columns.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="group"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="vocabulary"/> is less than the number of ranks.</exception>
    public static (VocabularyShard Shard, long Columns) Even(IProcessGroup group, long vocabulary)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (vocabulary < group.Size)
        {
            throw OutOfRange.Of(nameof(vocabulary), vocabulary, Invariant($"at least the number of ranks, {group.Size}"));
        }

        (long first, long count) = EvenParts.Of(vocabulary, group.Size, group.Rank);
        return (new VocabularyShard(group, first, vocabulary), count);
    }
}
