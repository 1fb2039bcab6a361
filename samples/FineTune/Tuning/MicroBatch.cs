using FineTune.Checkpoint;
using FineTune.Text;
using FineTune.Transformer;
using static TorchSharp.torch;

namespace FineTune.Tuning;

/// <summary>The rows that go through the model together, as tensors <c>[B, T]</c>, and the examples that they are made of.</summary>
internal sealed class MicroBatch : IDisposable
{
    private readonly Tensor? positions;
    private readonly Tensor? segments;

    private MicroBatch(PackedBatch rows, IReadOnlyList<IReadOnlyList<int>> examples, int[] lengths)
    {
        Examples = examples;
        Lengths = lengths;
        LabelCount = rows.LabelCount;
        Tokens = tensor(rows.Tokens, rows.Rows, rows.Length).DetachFromDisposeScope();
        Labels = tensor(rows.Labels, rows.Rows, rows.Length).DetachFromDisposeScope();
        if (examples.Any(row => row.Count > 1))
        {
            positions = tensor(rows.Positions, rows.Rows, rows.Length).DetachFromDisposeScope();
            segments = tensor(rows.Segments, rows.Rows, rows.Length).DetachFromDisposeScope();
        }
    }

    /// <summary>int64.</summary>
    public Tensor Tokens { get; }

    /// <summary>The tokens to be learned, and -100 elsewhere; for a loss with <c>shiftLabels</c>.</summary>
    public Tensor Labels { get; }

    /// <summary>Labels that are scored.</summary>
    public int LabelCount { get; }

    /// <summary>Tokens that are no padding.</summary>
    public int TokenCount => Lengths.Sum();

    /// <summary>The numbers of each row's examples, in the order in which they stand there.</summary>
    public IReadOnlyList<IReadOnlyList<int>> Examples { get; }

    /// <summary>Tokens of each example, row by row.</summary>
    public int[] Lengths { get; }

    /// <summary>Makes rows of examples.</summary>
    /// <param name="all">All examples.</param>
    /// <param name="rows">The numbers of each row's examples.</param>
    /// <param name="padding">The token that fills rows up to the longest.</param>
    public static MicroBatch Of(IReadOnlyList<TokenizedExample> all, IReadOnlyList<IReadOnlyList<int>> rows, int padding)
    {
        TokenizedExample[][] examples = [.. rows.Select(row => row.Select(number => all[number]).ToArray())];
        int length = examples.Max(row => row.Sum(example => example.Tokens.Length));
        return new MicroBatch(
            PackedBatch.Of(examples, length, padding), rows, [.. examples.SelectMany(row => row.Select(example => example.Tokens.Length))]);
    }

    /// <summary>Where the tokens stand; of the caller's dispose scope. Padding comes last and needs no mask: nothing before it sees it.</summary>
    public SequenceLayout Layout(ModelConfig config, Tensor like) => segments is null
        ? SequenceLayout.Plain(config, 0, Tokens.size(1), like)
        : SequenceLayout.Packed(config, positions!, segments, like);

    public void Dispose()
    {
        Tokens.Dispose();
        Labels.Dispose();
        positions?.Dispose();
        segments?.Dispose();
    }
}
