using Asft.Kernels;

namespace Asft.Interop;

/// <summary>
/// What every rank must have alike when it calls a loss on its shard, told and compared before anything else is exchanged: ranks that go on with
/// different numbers of rows would wait for each other for ever.
/// </summary>
internal sealed class ShardAgreement
{
    private readonly List<(string Name, long Value, bool IsShown)> _alike = [];
    private readonly VocabularyShard _shard;
    private readonly long _columns;
    private readonly long _least;

    /// <summary>Prepares what this rank says.</summary>
    /// <param name="shard">Its shard.</param>
    /// <param name="columns">How many columns it has.</param>
    /// <param name="least">A number of which the smallest of any rank is wanted.</param>
    public ShardAgreement(VocabularyShard shard, long columns, long least)
    {
        _shard = shard;
        _columns = columns;
        _least = least;
        Add("a vocabulary of size", shard.Vocabulary);
    }

    /// <summary>A number that must be the same on all ranks.</summary>
    /// <param name="name">What it is a number of, to be followed by it.</param>
    /// <param name="value">The number.</param>
    public void Add(string name, long value) => _alike.Add((name, value, true));

    /// <summary>Values that must be the same on all ranks, of which a message says no more than that they are not.</summary>
    /// <param name="name">What they are.</param>
    /// <param name="values">The values.</param>
    public void Add(string name, ReadOnlySpan<long> values) => _alike.Add((name, Checksum.Of(values), false));

    /// <summary>An objective.</summary>
    public void Add(LossObjective objective) => Add(
        "objective",
        [
            (long)objective.Weighting, (long)objective.WeightBound, (long)objective.KlDirection, (long)objective.KlEstimator, objective.IgnoreIndex,
            .. from number in (double[])
            [
                objective.WeightExponent, objective.WeightComplementExponent, objective.EntropyScale, objective.WeightMin, objective.WeightMax,
                objective.NllWeight, objective.KlWeight, objective.LabelSmoothing, objective.LogitScale, objective.LogitSoftcap, objective.ZLossWeight,
            ]
            select BitConverter.DoubleToInt64Bits(number),
        ]);

    /// <summary>Compares. A collective.</summary>
    /// <returns>The smallest of what the ranks were asked for.</returns>
    /// <exception cref="InvalidOperationException">The ranks differ, or their shards are not the vocabulary; on every rank alike.</exception>
    public long Reach()
    {
        long[] own = [_shard.FirstColumn, _columns, _least, .. _alike.Select(value => value.Value)];
        long[][] all = GroupMemory.Gather(_shard.Group, own);
        for (int rank = 1; rank < all.Length; rank++)
        {
            for (int i = 0; i < _alike.Count; i++)
            {
                (string name, _, bool isShown) = _alike[i];
                (long mine, long first) = (all[rank][3 + i], all[0][3 + i]);
                if (mine != first)
                {
                    throw new InvalidOperationException(isShown
                        ? Invariant($"The ranks of a shard's group do not call the loss alike: rank {rank} has {name} {mine}, and rank 0 has {first}.")
                        : Invariant($"The ranks of a shard's group do not call the loss alike: rank {rank} has another {name} than rank 0."));
                }
            }
        }

        CheckColumns(all);
        return all.Min(values => values[2]);
    }

    private void CheckColumns(long[][] all)
    {
        long next = 0;
        foreach (long[] values in all.OrderBy(values => values[0]))
        {
            next = values[0] == next ? next + values[1] : -1;
        }

        if (next != _shard.Vocabulary)
        {
            string shards = string.Join(", ", all.Select(values => Invariant($"[{values[0]}, {values[0] + values[1]})")));
            throw new InvalidOperationException(Invariant(
                $"The shards of ranks 0 to {all.Length - 1} are the columns {shards}: together they must be [0, {_shard.Vocabulary}), each column once."));
        }
    }
}
