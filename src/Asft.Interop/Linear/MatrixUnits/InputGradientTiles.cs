using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The gradient of the inputs: <c>G W</c>, by stripes of 64 columns, whose weights are read and interleaved once.</summary>
internal sealed unsafe class InputGradientTiles : TileLoop
{
    /// <summary>Words that a product sums over at a time.</summary>
    private const int Step = 512;

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
    public required float* InputGradient { get; init; }

    /// <summary>Distance of two rows of it.</summary>
    public required long InputGradientStride { get; init; }

    /// <summary>Rows of a stripe: all of them, unless that leaves threads without work.</summary>
    private long StripeRows { get; set; }

    /// <inheritdoc/>
    protected override long ScratchBytes => (StripeRows * Columns * sizeof(float)) + (Step / 2 * Columns * sizeof(uint));

    /// <summary>Makes it.</summary>
    public void Run()
    {
        long across = Tiles(Width, Columns);
        long down = Math.Min(Tiles(Count, Rows), Tiles(2 * get_num_threads(), across));
        StripeRows = Tiles(Tiles(Count, Rows), down) * Rows;
        Run(across * Tiles(Count, StripeRows));
    }

    /// <inheritdoc/>
    protected override void Make(long stripe, byte* scratch)
    {
        float* sums = (float*)scratch;
        uint* weight = (uint*)(sums + (StripeRows * Columns));
        long across = Tiles(Width, Columns);
        long column = stripe % across * Columns;
        long first = stripe / across * StripeRows;
        long rows = Math.Min(StripeRows, Count - first);
        int columns = (int)Math.Min(Columns, Width - column);
        for (long word = 0; word < Vocabulary; word += Step)
        {
            long words = Math.Min(Step, Vocabulary - word);
            long depth = words + (words % 2);
            BFloat16Packing.PairRows(Weight + (word * WeightStride) + column, WeightStride, words, columns, depth, weight);
            for (long row = 0; row < rows; row += Rows)
            {
                BFloat16Units.Multiply(
                    Gradient + ((first + row) * GradientStride) + word, GradientStride, weight, depth, sums + (row * Columns), word > 0);
            }
        }

        Store(sums, InputGradient + (first * InputGradientStride) + column, InputGradientStride, rows, columns);
    }
}
