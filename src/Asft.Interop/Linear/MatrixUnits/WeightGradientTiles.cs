namespace Asft.Interop;

/// <summary>
/// The gradient of the weight: <c>G^T X</c>, added up in float32, by stripes of 64 words. G is transposed on the way, X was interleaved before.
/// </summary>
internal sealed unsafe class WeightGradientTiles : TileLoop
{
    /// <summary>Most rows that a product sums over at a time. Each power of two from <see cref="TileLoop.Rows"/> to it has code of its own.</summary>
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

    /// <summary>Where the gradient goes, <c>[V, d]</c>, contiguous.</summary>
    public required float* WeightGradient { get; init; }

    /// <summary>Adds to what is there.</summary>
    public required bool Add { get; init; }

    /// <inheritdoc/>
    protected override long ScratchBytes =>
        (TileSize * sizeof(float)) + (LongestStep / 2 * Columns * sizeof(uint)) + (Columns * Depth(Count) * sizeof(ushort));

    /// <summary>Pairs in the interleaved X.</summary>
    public static long InterleavedPairs(long count, long width) => Tiles(width, Columns) * Columns * Depth(count) / 2;

    /// <summary>Interleaves the rows of X, for one 64 columns after the other.</summary>
    public static void Interleave(ushort* input, long count, long width, uint* to)
    {
        for (long column = 0; column < width; column += Columns)
        {
            long depth = Depth(count);
            BFloat16Packing.PairRows(input + column, width, count, (int)Math.Min(Columns, width - column), depth, to + (column * depth / 2));
        }
    }

    /// <summary>Makes it.</summary>
    public void Run() => Run(Tiles(Vocabulary, Columns));

    /// <inheritdoc/>
    protected override void Make(long stripe, byte* scratch)
    {
        float* tile = (float*)scratch;
        uint* pairs = (uint*)(tile + TileSize);
        uint* gradient = pairs + (LongestStep / 2 * Columns);
        long word = stripe * Columns;
        int words = (int)Math.Min(Columns, Vocabulary - word);
        long depth = Depth(Count);
        for (long row = 0, step; row < depth; row += step)
        {
            step = Step(depth - row);
            BFloat16Packing.PairRows(Gradient + (row * GradientStride) + word, GradientStride, Count - row, words, step, pairs);
            BFloat16Packing.Transpose(pairs, step, gradient + (row * Columns / 2));
        }

        for (long column = 0; column < Width; column += Columns)
        {
            uint* input = Input + (column * depth / 2);
            long columns = Math.Min(Columns, Width - column);
            for (int first = 0; first < words; first += Rows)
            {
                float* target = WeightGradient + ((word + first) * Width) + column;
                int rows = Math.Min(Rows, words - first);
                if (Add)
                {
                    Load(target, Width, rows, columns, tile);
                }

                for (long row = 0, step; row < depth; row += step)
                {
                    step = Step(depth - row);
                    ushort* left = (ushort*)(gradient + (row * Columns / 2)) + (first * step);
                    BFloat16Units.Multiply(left, step, input + (row * Columns / 2), step, tile, Add || row > 0);
                }

                Store(tile, target, Width, rows, columns);
            }
        }
    }

    /// <summary>Rows that are summed over: those that are not there are 0.</summary>
    private static long Depth(long count) => Tiles(count, Rows) * Rows;

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
