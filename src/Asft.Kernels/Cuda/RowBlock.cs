namespace Asft.Kernels.Cuda;

/// <summary>
/// The block, or the cluster of blocks, that computes loss and gradient of a row. The gradient reads the row a second time; what the sums
/// kept of it in shared memory need not come from further away.
/// </summary>
/// <param name="Threads">
/// Threads of a block. With 512 a multiprocessor has two blocks at a time, so that one computes while the other waits for its threads to
/// meet: where half its shared memory holds the row, or the block's share of it. Otherwise a block of 1024 threads has a multiprocessor
/// to itself.
/// </param>
/// <param name="Blocks">Blocks of the cluster that shares the row; 1 for none.</param>
/// <param name="TilesPerBlock">Tiles of the row that each of them takes.</param>
/// <param name="KeptTiles">How many of these it keeps.</param>
/// <param name="SharedBytes">The shared memory that they take.</param>
internal readonly record struct RowBlock(uint Threads, int Blocks, int TilesPerBlock, int KeptTiles, int SharedBytes)
{
    /// <summary>Shared memory that the kernels declare, or a little more: what a block may have beside it is for the tiles that it keeps.</summary>
    public const int DeclaredBytes = 3072;

    /// <summary>The most blocks of a cluster. CUDA C++ Programming Guide, "Thread Block Clusters".</summary>
    private const int MostBlocks = 16;

    /// <summary>Of each block, for the system, beside what it may have. CUDA C++ Programming Guide, "Shared Memory".</summary>
    private const int ReservedBytes = 1024;

    /// <summary>Major number of the first compute capability that has clusters.</summary>
    private const int FirstWithClusters = 9;

    /// <summary>A block that keeps nothing.</summary>
    public static RowBlock Plain { get; } = new(KernelConstants.RowThreads, 1, 0, 0, 0);

    /// <summary>What a row takes.</summary>
    /// <param name="vocabulary">V.</param>
    /// <param name="type">Storage type of the policy.</param>
    /// <param name="choice">The kernels that compute the loss.</param>
    /// <param name="device">The device.</param>
    /// <param name="mostBlocks">The most blocks that a cluster may have.</param>
    /// <returns>The smallest cluster that keeps the whole row or, where there is none, a block that keeps as much as it can.</returns>
    public static RowBlock Of(long vocabulary, ElementType type, KernelChoice choice, CudaDevice device, int mostBlocks = MostBlocks)
    {
        int whole = device.SharedBytes - DeclaredBytes;
        int half = ((device.SharedBytes + ReservedBytes) / 2) - ReservedBytes - DeclaredBytes;
        int tileBytes = choice.Form.TileOf(type) * type.SizeInBytes() * (choice.Use is ReferenceUse.ForwardKl or ReferenceUse.ReverseKl ? 2 : 1);
        long tiles = vocabulary / choice.Form.TileOf(type);
        if (tiles * tileBytes <= half)
        {
            return Alone(KernelConstants.RowThreads, half);
        }

        if (type == ElementType.Float64)
        {
            return Alone(KernelConstants.RowThreads, whole); // of which a thread takes the registers of two
        }

        return device.Major < FirstWithClusters || choice.Use == ReferenceUse.Sum ? Alone(KernelConstants.LongRowThreads, whole)
            : Cluster(KernelConstants.RowThreads, half, Math.Min(mostBlocks, CudaLaunch.PortableCluster))
            ?? Cluster(KernelConstants.LongRowThreads, whole, mostBlocks)
            ?? Alone(KernelConstants.LongRowThreads, whole);

        RowBlock? Cluster(int threads, int room, int most)
        {
            for (int blocks = 2; blocks <= most; blocks *= 2)
            {
                int share = (int)((tiles + blocks - 1) / blocks);
                if ((long)share * tileBytes <= room)
                {
                    return new RowBlock((uint)threads, blocks, share, share, share * tileBytes);
                }
            }

            return null;
        }

        RowBlock Alone(uint threads, int room)
        {
            int kept = (int)Math.Min(tiles, Math.Max(0, room / tileBytes));
            return new RowBlock(threads, 1, 0, kept, kept * tileBytes);
        }
    }
}
