using static Asft.Interop.TiledMatrix;

namespace Asft.Interop;

/// <summary>Logits from inputs: <c>X W^T + b</c>, by stripes of 64 words, whose weights are read and interleaved once.</summary>
internal sealed unsafe class LogitTiles : TileLoop
{
    /// <summary>X, rows of <see cref="Width"/> elements one after the other, and memory for whole tiles of them.</summary>
    public required ushort* Input { get; init; }

    /// <summary>How many rows.</summary>
    public required long Count { get; init; }

    /// <summary>W.</summary>
    public required ushort* Weight { get; init; }

    /// <summary>Distance of two rows of W, even.</summary>
    public required long WeightStride { get; init; }

    /// <summary>Rows of W.</summary>
    public required long Vocabulary { get; init; }

    /// <summary>Columns of X and W, even.</summary>
    public required long Width { get; init; }

    /// <summary>b, or null.</summary>
    public required float* Bias { get; init; }

    /// <summary>Where the logits go.</summary>
    public required TiledMatrix Logits { get; init; }

    /// <inheritdoc/>
    protected override long ScratchBytes => (TileSize * sizeof(float)) + (Width / 2 * TileColumns * sizeof(uint));

    /// <summary>Makes them.</summary>
    public void Run() => Run(Pieces(Vocabulary, TileColumns));

    /// <inheritdoc/>
    protected override void Make(long stripe, bool hasNext, byte* scratch)
    {
        float* tile = (float*)scratch;
        uint* weight = (uint*)(tile + TileSize);
        long word = stripe * TileColumns;
        int words = (int)Math.Min(TileColumns, Vocabulary - word);
        BFloat16Packing.PairColumns((uint*)(Weight + (word * WeightStride)), WeightStride / 2, words, Width, weight);
        long nextWords = hasNext ? Math.Min(TileColumns, Vocabulary - word - TileColumns) : 0;
        for (long row = 0; row < Count; row += TileRows)
        {
            // The next weights come while these are multiplied, some for each tile.
            long asked = nextWords * row / Count;
            long ask = (nextWords * Math.Min(row + TileRows, Count) / Count) - asked;
            Ask(Weight + ((word + TileColumns + asked) * WeightStride), WeightStride, ask, Width);
            if (Bias != null)
            {
                new TiledMatrix(Bias, stride: 0, TileRows, Vocabulary).Load(0, word, tile);
            }

            BFloat16Units.Multiply(Input + (row * Width), Width, weight, Width, tile, add: Bias != null);
            Logits.Store(tile, row, word);
        }
    }
}
