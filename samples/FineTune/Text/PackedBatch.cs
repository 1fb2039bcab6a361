using FineTune.Training;

namespace FineTune.Text;

/// <summary>
/// Rows <c>[Rows, Length]</c> of tokens, each row with the examples that fit into it, one after another. For a loss with
/// <c>shiftLabels: true</c>, as <see cref="Batch"/>.
/// </summary>
internal sealed class PackedBatch
{
    /// <summary>The segment of the padding, which attends to nothing but itself.</summary>
    public const int PaddingSegment = -1;

    private PackedBatch(int rows, int length)
    {
        Rows = rows;
        Length = length;
        Tokens = new long[rows * length];
        Labels = new long[rows * length];
        Positions = new int[rows * length];
        Segments = new int[rows * length];
    }

    /// <summary>How many rows there are.</summary>
    public int Rows { get; }

    /// <summary>How many tokens each has, padding included.</summary>
    public int Length { get; }

    /// <summary>The tokens, row by row.</summary>
    public long[] Tokens { get; }

    /// <summary>
    /// The response's tokens, and -100 elsewhere. The first token of an example is never a label: what stands before it in the row
    /// is another example.
    /// </summary>
    public long[] Labels { get; }

    /// <summary>The place of each token in its own example, from 0; 0 in the padding.</summary>
    public int[] Positions { get; }

    /// <summary>
    /// The number of each token's example in its row, from 0, and <see cref="PaddingSegment"/>. A token attends to those at or before it of
    /// the same segment.
    /// </summary>
    public int[] Segments { get; }

    /// <summary>How many labels are scored.</summary>
    public int LabelCount { get; private set; }

    /// <summary>Puts examples into rows.</summary>
    /// <param name="rows">The examples of each row, as <see cref="Packing"/> chose them.</param>
    /// <param name="length">Tokens in a row.</param>
    /// <param name="padding">The token that fills a row up.</param>
    /// <exception cref="ArgumentException">The examples of a row have more than <paramref name="length"/> tokens.</exception>
    public static PackedBatch Of(IReadOnlyList<IReadOnlyList<TokenizedExample>> rows, int length, int padding)
    {
        var batch = new PackedBatch(rows.Count, length);
        Array.Fill(batch.Tokens, padding);
        Array.Fill(batch.Labels, Batch.Ignored);
        Array.Fill(batch.Segments, PaddingSegment);
        for (int row = 0; row < rows.Count; row++)
        {
            int taken = rows[row].Sum(example => example.Tokens.Length);
            if (taken > length)
            {
                throw new ArgumentException($"The examples of row {row} have {taken} tokens, and a row has {length}.", nameof(rows));
            }

            int start = row * length;
            for (int segment = 0; segment < rows[row].Count; segment++)
            {
                batch.Put(rows[row][segment], segment, start);
                start += rows[row][segment].Tokens.Length;
            }
        }

        return batch;
    }

    private void Put(TokenizedExample example, int segment, int start)
    {
        for (int position = 0; position < example.Tokens.Length; position++)
        {
            int index = start + position;
            Tokens[index] = example.Tokens[position];
            Positions[index] = position;
            Segments[index] = segment;
            if (position >= Math.Max(1, example.PromptLength))
            {
                Labels[index] = example.Tokens[position];
                LabelCount++;
            }
        }
    }
}
