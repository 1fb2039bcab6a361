namespace Asft.Kernels.Cuda;

/// <summary>
/// How many blocks share a row. One, if a block for each row keeps the multiprocessors busy to the end: few rows leave some without work
/// from the first, and a little more than they run at once leave most of them without while the last few are worked on.
/// </summary>
/// <param name="Parts">Blocks that share a row.</param>
/// <param name="TilesPerPart">Tiles of the row that each of them takes; the last takes what is left.</param>
internal readonly record struct RowSplit(int Parts, int TilesPerPart)
{
    /// <summary>Blocks that a multiprocessor runs at once.</summary>
    public const int BlocksPerMultiprocessor = 2;

    /// <summary>One lane of a warp merges one part.</summary>
    private const int MostParts = KernelConstants.WarpSize;

    /// <summary>Of so many blocks for each that runs at once, the last leave a fifth of the time unused at most.</summary>
    private const int MostWaves = 4;

    /// <summary>A part is worth a block when each of its warps has a tile.</summary>
    private const int FewestTiles = KernelConstants.RowThreads / KernelConstants.WarpSize;

    /// <summary>What starting and ending a block takes, in tiles of its part.</summary>
    private const int BlockTiles = 4;

    /// <summary>What a gradient takes longer that is a launch of its own, and finds less of its rows in a cache.</summary>
    private const double SecondLaunch = 4.0 / 3;

    /// <summary>Rows that are not shared.</summary>
    public static RowSplit None { get; } = new(1, 0);

    /// <summary>The split of a problem's rows.</summary>
    /// <param name="rows">Number of rows, at least 1.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="type">Storage type of the policy.</param>
    /// <param name="form">Which kernel works on them.</param>
    /// <param name="fusesGradient">Whether rows that are not shared have their gradient in the same launch.</param>
    /// <param name="multiprocessors">Multiprocessors of the device.</param>
    /// <returns>The split.</returns>
    public static RowSplit Of(long rows, long vocabulary, ElementType type, KernelForm form, bool fusesGradient, int multiprocessors)
    {
        long atOnce = BlocksPerMultiprocessor * multiprocessors;
        long tiles = vocabulary / form.TileOf(type);
        if (rows >= MostWaves * atOnce || tiles < 2 * FewestTiles)
        {
            return None;
        }

        RowSplit best = None;
        double shortest = Time(rows, tiles) / (fusesGradient ? SecondLaunch : 1);
        for (long parts = 2; parts <= Math.Min(MostParts, tiles / FewestTiles); parts++)
        {
            long tilesPerPart = (tiles + parts - 1) / parts;
            long needed = (tiles + tilesPerPart - 1) / tilesPerPart;
            if (Time(rows * needed, tilesPerPart) < shortest)
            {
                shortest = Time(rows * needed, tilesPerPart);
                best = new RowSplit((int)needed, (int)tilesPerPart);
            }
        }

        return best;

        // As many blocks at once as the device runs, again and again.
        double Time(long blocks, long blockTiles) => (blocks + atOnce - 1) / atOnce * (blockTiles + BlockTiles);
    }
}
