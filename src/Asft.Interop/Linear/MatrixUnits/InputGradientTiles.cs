using static Asft.Interop.TiledMatrix;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The gradient of the inputs: <c>G W</c>, by stripes of 128 columns, whose weights are read and interleaved once.</summary>
internal sealed unsafe class InputGradientTiles : TileLoop
{
    /// <summary>Columns of a stripe: a stretch of G that is in the cache serves all of them.</summary>
    private const int Stripe = 2 * TileColumns;

    /// <summary>Words that a product sums over at a time.</summary>
    private const int Step = 256;

    /// <summary>Rows of the weight that are interleaved for all columns of a stripe before the next ones are.</summary>
    private const int Part = 16;

    /// <summary>G, the gradient of the logits; where their number is odd, with a 0 at the end of each row. There is memory for whole tiles of rows.</summary>
    public required ushort* Gradient { get; init; }

    /// <summary>Distance of two rows of G.</summary>
    public required long GradientStride { get; init; }

    /// <summary>Rows of G.</summary>
    public required long Count { get; init; }

    /// <summary>W.</summary>
    public required ushort* Weight { get; init; }

    /// <summary>Distance of two rows of W.</summary>
    public required long WeightStride { get; init; }

    /// <summary>Columns of G, rows of W.</summary>
    public required long Vocabulary { get; init; }

    /// <summary>Columns of W.</summary>
    public required long Width { get; init; }

    /// <summary>Where the gradient goes.</summary>
    public required TiledMatrix InputGradient { get; init; }

    /// <summary>Rows of a stripe: all of them, unless that leaves threads without work.</summary>
    private long StripeRows { get; set; }

    /// <inheritdoc/>
    protected override long ScratchBytes => (StripeRows * Stripe * sizeof(float)) + (Step / 2 * Stripe * sizeof(uint));

    /// <summary>Makes it.</summary>
    public void Run()
    {
        long across = Pieces(Width, Stripe);
        long down = Pieces(2 * get_num_threads(), across);
        StripeRows = Pieces(Pieces(Count, down), TileRows) * TileRows;
        Run(across * Pieces(Count, StripeRows));
    }

    /// <inheritdoc/>
    protected override void Make(long stripe, bool hasNext, byte* scratch)
    {
        float* sums = (float*)scratch;
        uint* weight = (uint*)(sums + (StripeRows * Stripe));
        long across = Pieces(Width, Stripe);
        long column = stripe % across * Stripe;
        long columns = Math.Min(Stripe, Width - column);
        long first = stripe / across * StripeRows;
        long rows = Math.Min(StripeRows, Count - first);
        for (long word = 0; word < Vocabulary; word += Step)
        {
            long words = Math.Min(Step, Vocabulary - word);
            long depth = words + (words % 2);
            Interleave(word, depth, column, columns, weight);
            long next = word + Step;
            long nextWords = Math.Clamp(Vocabulary - next, 0, Step);
            for (long row = 0; row < rows; row += TileRows)
            {
                // What the next step reads comes while this one is computed, some for each tile.
                long asked = nextWords * row / rows;
                long end = Math.Min(row + TileRows, rows);
                Ask(Weight + ((next + asked) * WeightStride) + column, WeightStride, (nextWords * end / rows) - asked, columns);
                ushort* gradient = Gradient + ((first + row) * GradientStride) + word;
                Ask(gradient + Step, GradientStride, end - row, nextWords);
                for (long offset = 0; offset < columns; offset += TileColumns)
                {
                    float* tile = sums + (offset * StripeRows) + (row * TileColumns);
                    BFloat16Units.Multiply(gradient, GradientStride, weight + (offset * depth / 2), depth, tile, add: word > 0);
                }
            }
        }

        for (long offset = 0; offset < columns; offset += TileColumns)
        {
            for (long row = 0; row < rows; row += TileRows)
            {
                InputGradient.Store(sums + (offset * StripeRows) + (row * TileColumns), first + row, column + offset);
            }
        }
    }

    /// <summary>Interleaves some rows of the weight, for one 64 columns after the other.</summary>
    private void Interleave(long word, long depth, long column, long columns, uint* to)
    {
        for (long part = 0; part < depth; part += Part)
        {
            ushort* rows = Weight + ((word + part) * WeightStride) + column;
            for (long offset = 0; offset < columns; offset += TileColumns)
            {
                BFloat16Packing.PairRows(
                    rows + offset,
                    WeightStride,
                    Vocabulary - word - part,
                    (int)Math.Min(TileColumns, columns - offset),
                    Math.Min(Part, depth - part),
                    to + (offset * depth / 2) + (part * TileColumns / 2));
            }
        }
    }
}
