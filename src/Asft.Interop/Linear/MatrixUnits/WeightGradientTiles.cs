using static Asft.Interop.TiledMatrix;

namespace Asft.Interop;

/// <summary>
/// The gradient of the weight: <c>G^T X</c>, added up in float32, by stripes of 256 words. G is transposed on the way, X was interleaved before.
/// </summary>
internal sealed unsafe class WeightGradientTiles : TileLoop
{
    /// <summary>Words of a stripe: as many neighbours in a row of G as make reading it worth while.</summary>
    private const int Stripe = 4 * TileColumns;

    /// <summary>Most rows that a product sums over at a time. Each power of two from <see cref="TiledMatrix.TileRows"/> to it has code of its own.</summary>
    private const int LongestStep = 256;

    /// <summary>G, the gradient of the logits.</summary>
    public required ushort* Gradient { get; init; }

    /// <summary>Distance of two rows of G.</summary>
    public required long GradientStride { get; init; }

    /// <summary>Rows of G and X.</summary>
    public required long Count { get; init; }

    /// <summary>Columns of G.</summary>
    public required long Vocabulary { get; init; }

    /// <summary>X by <see cref="Interleave"/>.</summary>
    public required uint* Input { get; init; }

    /// <summary>Columns of X.</summary>
    public required long Width { get; init; }

    /// <summary>Where the gradient goes.</summary>
    public required TiledMatrix WeightGradient { get; init; }

    /// <summary>Adds to what is there.</summary>
    public required bool Add { get; init; }

    /// <inheritdoc/>
    protected override long ScratchBytes =>
        (TileSize * sizeof(float)) + (TileRows / 2 * TileColumns * sizeof(uint)) + (Stripe * Depth(Count) * sizeof(ushort));

    /// <summary>Pairs in the interleaved X.</summary>
    public static long InterleavedPairs(long count, long width) => Pieces(width, TileColumns) * TileColumns * Depth(count) / 2;

    /// <summary>Interleaves the rows of X, for one 64 columns after the other.</summary>
    public static void Interleave(ushort* input, long count, long width, uint* to)
    {
        long depth = Depth(count);
        for (long column = 0; column < width; column += TileColumns)
        {
            int columns = (int)Math.Min(TileColumns, width - column);
            BFloat16Packing.PairRows(input + column, width, count, columns, depth, to + (column * depth / 2));
        }
    }

    /// <summary>Makes it.</summary>
    public void Run() => Run(Pieces(Vocabulary, Stripe));

    /// <inheritdoc/>
    protected override void Make(long stripe, bool hasNext, byte* scratch)
    {
        float* tile = (float*)scratch;
        uint* pairs = (uint*)(tile + TileSize);
        uint* gradient = pairs + (TileRows / 2 * TileColumns);
        long first = stripe * Stripe;
        long end = Math.Min(first + Stripe, Vocabulary);
        long depth = Depth(Count);
        Transpose(first, end, pairs, gradient);
        WeightGradient.Ask(first, 0);
        long nextRows = hasNext ? Count : 0;
        for (long column = 0; column < Width; column += TileColumns)
        {
            // What the next stripe reads comes while this one is computed, some for each column of tiles.
            long asked = nextRows * column / Width;
            long ask = (nextRows * Math.Min(column + TileColumns, Width) / Width) - asked;
            Ask(Gradient + (asked * GradientStride) + end, GradientStride, ask, Math.Min(Stripe, Vocabulary - end));
            uint* input = Input + (column * depth / 2);
            for (long word = first; word < end; word += TileRows)
            {
                bool last = word + TileRows >= end;
                if (Add)
                {
                    WeightGradient.Load(word, column, tile);
                    WeightGradient.Ask(last ? first : word + TileRows, last ? column + TileColumns : column);
                }

                uint* left = gradient + ((word - first) / TileColumns * TileColumns * depth / 2);
                for (long row = 0, step; row < depth; row += step)
                {
                    step = Step(depth - row);
                    uint* block = left + (row * TileColumns / 2) + ((word - first) % TileColumns * step / 2);
                    BFloat16Units.Multiply((ushort*)block, step, input + (row * TileColumns / 2), step, tile, Add || row > 0);
                }

                WeightGradient.Store(tile, word, column);
            }
        }
    }

    /// <summary>Some columns of G as rows: for every 64 of them one step after the other, each with its rows one after the other.</summary>
    private void Transpose(long first, long end, uint* pairs, uint* to)
    {
        long depth = Depth(Count);
        for (long row = 0, step; row < depth; row += step)
        {
            step = Step(depth - row);
            for (long part = 0; part < step; part += TileRows)
            {
                for (long word = first; word < end; word += TileColumns)
                {
                    long place = row + part;
                    BFloat16Packing.PairRows(
                        Gradient + (place * GradientStride) + word, GradientStride, Count - place, (int)Math.Min(TileColumns, end - word), TileRows, pairs);
                    BFloat16Packing.Transpose(pairs, to + ((word - first) * depth / 2) + (row * TileColumns / 2) + (part / 2), step / 2);
                }
            }
        }
    }

    /// <summary>Rows that are summed over: those that are not there are 0.</summary>
    private static long Depth(long count) => Pieces(count, TileRows) * TileRows;

    /// <summary>How many of the remaining rows come next.</summary>
    private static long Step(long remaining)
    {
        long step = LongestStep;
        while (step > remaining)
        {
            step /= 2;
        }

        return step;
    }
}
