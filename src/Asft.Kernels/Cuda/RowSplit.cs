namespace Asft.Kernels.Cuda;

/// <summary>
/// How many blocks share a row. One, as long as there are as many rows as multiprocessors; else so many that every multiprocessor has
/// work, as far as the row is long enough for that.
/// </summary>
/// <param name="Parts">Blocks that share a row.</param>
/// <param name="TilesPerPart">Tiles of the row that each of them takes; the last takes what is left.</param>
internal readonly record struct RowSplit(int Parts, int TilesPerPart)
{
    /// <summary>One lane of a warp merges one part.</summary>
    private const int MostParts = KernelConstants.WarpSize;

    /// <summary>Blocks that a multiprocessor runs at once.</summary>
    private const int BlocksPerMultiprocessor = 2;

    /// <summary>A part is worth a block when each of its warps has a tile.</summary>
    private const int FewestTiles = KernelConstants.RowThreads / KernelConstants.WarpSize;

    /// <summary>Rows that are not shared.</summary>
    public static RowSplit None { get; } = new(1, 0);

    /// <summary>Blocks that a device runs at once.</summary>
    /// <param name="multiprocessors">Multiprocessors of the device.</param>
    /// <returns>The number.</returns>
    public static int BlocksAtOnce(int multiprocessors) => BlocksPerMultiprocessor * multiprocessors;

    /// <summary>Most parts that all rows of a problem together have.</summary>
    /// <param name="multiprocessors">Multiprocessors of the device.</param>
    /// <returns>The number.</returns>
    public static int MostPartsInAll(int multiprocessors) => (BlocksPerMultiprocessor + 1) * multiprocessors;

    /// <summary>The split of a problem's rows.</summary>
    /// <param name="rows">Number of rows, at least 1.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="type">Storage type of the policy.</param>
    /// <param name="isGeneral">Whether a general kernel works on them.</param>
    /// <param name="multiprocessors">Multiprocessors of the device.</param>
    /// <returns>The split.</returns>
    public static RowSplit Of(long rows, long vocabulary, ElementType type, bool isGeneral, int multiprocessors)
    {
        long tiles = vocabulary / (KernelConstants.WarpSize * ChunkOf(type, isGeneral));
        if (rows >= multiprocessors || tiles < 2 * FewestTiles)
        {
            return None;
        }

        long wanted = ((BlocksPerMultiprocessor * multiprocessors) + rows - 1) / rows;
        long parts = Math.Min(Math.Min(wanted, MostParts), tiles / FewestTiles);
        long tilesPerPart = (tiles + parts - 1) / parts;
        return new RowSplit((int)((tiles + tilesPerPart - 1) / tilesPerPart), (int)tilesPerPart);
    }

    /// <summary>Elements that a thread takes at a time.</summary>
    private static int ChunkOf(ElementType type, bool isGeneral) => type switch
    {
        ElementType.Float64 => KernelConstants.Float64Chunk,
        ElementType.Float32 => isGeneral ? KernelConstants.Float32GeneralChunk : KernelConstants.Float32Chunk,
        _ => isGeneral ? KernelConstants.HalfGeneralChunk : KernelConstants.HalfChunk,
    };
}
