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
    public required float* Logits { get; init; }

    /// <summary>Distance of two rows of them.</summary>
    public required long LogitStride { get; init; }

    /// <inheritdoc/>
    protected override long ScratchBytes => (TileSize * sizeof(float)) + (Width / 2 * Columns * sizeof(uint));

    /// <summary>Makes them.</summary>
    public void Run() => Run(Tiles(Vocabulary, Columns));

    /// <inheritdoc/>
    protected override void Make(long stripe, byte* scratch)
    {
        float* tile = (float*)scratch;
        uint* weight = (uint*)(tile + TileSize);
        long word = stripe * Columns;
        int words = (int)Math.Min(Columns, Vocabulary - word);
        BFloat16Packing.PairColumns((uint*)(Weight + (word * WeightStride)), WeightStride / 2, words, Width, weight);
        for (long row = 0; row < Count; row += Rows)
        {
            if (Bias != null)
            {
                Load(Bias + word, stride: 0, Rows, words, tile);
            }

            BFloat16Units.Multiply(Input + (row * Width), Width, weight, Width, tile, add: Bias != null);
            Store(tile, Logits + (row * LogitStride) + word, LogitStride, Math.Min(Rows, Count - row), words);
        }
    }
}
