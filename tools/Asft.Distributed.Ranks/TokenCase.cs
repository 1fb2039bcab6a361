using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>Tokens of a loss, the same on every rank, and the columns of this one.</summary>
internal sealed class TokenCase
{
    private readonly IProcessGroup _group;

    /// <summary>Makes tokens.</summary>
    /// <param name="group">The ranks that divide the columns.</param>
    /// <param name="objective">The objective; some labels are its ignore index.</param>
    /// <param name="rows">How many tokens, in two sequences.</param>
    /// <param name="vocabulary">How many columns.</param>
    /// <param name="seed">Seed of all of it.</param>
    public TokenCase(IProcessGroup group, LossObjective objective, int rows, int vocabulary, int seed)
    {
        _group = group;
        var random = new Random(seed);
        Vocabulary = vocabulary;

        // Unequal parts, in which all that can be is different on each rank.
        long[] cuts = [0, .. Enumerable.Range(0, group.Size - 1).Select(_ => (long)random.Next(1, vocabulary)).Order(), vocabulary];
        for (int rank = 1; rank < group.Size; rank++)
        {
            cuts[rank] = Math.Clamp(cuts[rank], cuts[rank - 1] + 1, vocabulary - group.Size + rank);
        }

        First = cuts[group.Rank];
        Columns = cuts[group.Rank + 1] - First;
        double[] logits = new double[rows * vocabulary];
        double[] reference = new double[logits.Length];
        for (int i = 0; i < logits.Length; i++)
        {
            // Small multiples of a power of two survive in every storage type.
            logits[i] = random.Next(-64, 65) / 16.0;
            reference[i] = logits[i] + (random.Next(-16, 17) / 16.0);
            bool isMasked = random.Next(30) == 0 || (i / vocabulary % 3 == 1 && group.Size > 1 && i % vocabulary >= cuts[1] && i % vocabulary < cuts[2]);
            (logits[i], reference[i]) = isMasked ? (double.NegativeInfinity, double.NegativeInfinity) : (logits[i], reference[i]);
        }

        long[] labels = new long[rows];
        for (int row = 0; row < rows; row++)
        {
            labels[row] = row % 5 == 3 ? objective.IgnoreIndex : random.Next(vocabulary);
            int i = (row * vocabulary) + (int)Math.Max(0, labels[row]);
            (logits[i], reference[i]) = (1, 0.5); // a label is not masked: 0/0 is nothing to compare with
        }

        Logits = tensor(logits).reshape(2, rows / 2, vocabulary);
        Reference = tensor(reference).reshape(2, rows / 2, vocabulary);
        Labels = tensor(labels).reshape(2, rows / 2);
        Weights = tensor([.. Enumerable.Range(0, rows).Select(row => (row % 4) - 0.5)], dtype: ScalarType.Float64).reshape(2, rows / 2);
    }

    public long Vocabulary { get; }

    public long First { get; }

    public long Columns { get; }

    public VocabularyShard Shard => new(_group, First, Vocabulary);

    /// <summary>float64 <c>[2, rows/2, V]</c>, all columns.</summary>
    public Tensor Logits { get; }

    public Tensor Reference { get; }

    public Tensor Labels { get; }

    /// <summary>float64, some below 0.</summary>
    public Tensor Weights { get; }

    /// <summary>The columns of this rank.</summary>
    public Tensor Own(Tensor whole) => whole.narrow(-1, First, Columns);
}
