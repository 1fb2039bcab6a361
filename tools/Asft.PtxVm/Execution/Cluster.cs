namespace Asft.PtxVm.Execution;

/// <summary>
/// The blocks of a launch that run at the same time, in turns, and reach each other's shared memory: one, where a launch has no clusters. One
/// object runs all clusters of a launch, one after another.
/// </summary>
internal sealed class Cluster
{
    private readonly Block[] _blocks;
    private readonly Random _random;

    // For each block, the last use of its shared memory by another one, counted in the other's arrivals at the barrier before it; -1 for none.
    private readonly int[] _used;

    public Cluster(
        Kernel kernel, PtxMachineOptions options, (uint GridX, uint GridY, uint Threads) shape, LaunchMemory memory, Random random)
    {
        _random = random;
        _used = new int[memory.Blocks.Length];
        _blocks = [.. memory.Blocks.Select((_, rank) => new Block(kernel, options, shape, memory, random, this, rank))];
        GridX = shape.GridX;
    }

    /// <summary>How many blocks it has.</summary>
    public int Size => _blocks.Length;

    /// <summary>The cluster's number in the grid, x first.</summary>
    public int Index { get; private set; }

    private uint GridX { get; }

    /// <summary>Runs a cluster to its end.</summary>
    public void Run(int index)
    {
        Index = index;
        var (x, y) = (index % GridX, index / GridX * Size);
        for (var rank = 0; rank < Size; rank++)
        {
            _used[rank] = -1;
            _blocks[rank].Start((int)((y + rank) * GridX + x));
        }

        while (true)
        {
            if (NextToRun() is { } block)
            {
                block.RunTurn();
            }
            else if (Array.TrueForAll(_blocks, each => each.HasLeft))
            {
                return;
            }
            else
            {
                ReleaseBarrier();
            }
        }
    }

    /// <summary>The block whose shared memory an address of the cluster's window is in. It must be there, and must not have left.</summary>
    public Block Owner(Warp warp, int lane, ulong address)
    {
        var window = address / Windows.ClusterStep;
        if (window > (ulong)Size)
        {
            throw warp.Fault(PtxFaultKind.OutOfBounds, lane, address, $"no shared memory of the cluster's {Size} blocks");
        }

        var owner = window == 0 ? warp.Block : _blocks[window - 1];
        if (owner.HasLeft)
        {
            throw warp.Fault(PtxFaultKind.BlockLeft, lane, address, $"shared memory of block {warp.Block.PlaceOf(owner.Index)}, which has ended");
        }

        if (owner != warp.Block)
        {
            _used[owner.Rank] = Math.Max(_used[owner.Rank], warp.Arrived);
        }

        return owner;
    }

    /// <summary>A block has ended, with a warp of it: whoever used its shared memory must have said so at a barrier that the block waited for.</summary>
    public void CheckLeaving(Warp last)
    {
        if (last.Block.Warps.All(warp => warp.Waited <= _used[last.Block.Rank]))
        {
            throw last.Fault(
                PtxFaultKind.BlockLeft, 0, null,
                "the block ends, though another block of the cluster uses its shared memory and no barrier of the cluster lies between");
        }
    }

    // The first that can run, from a random one on; null when all wait or have ended.
    private Block? NextToRun()
    {
        var start = Size > 1 ? _random.Next(Size) : 0;
        for (var i = 0; i < Size; i++)
        {
            var block = _blocks[(start + i) % Size];
            if (block.CanRun)
            {
                return block;
            }
        }

        return null;
    }

    private void ReleaseBarrier()
    {
        var warps = _blocks.SelectMany(block => block.Warps).ToArray();
        var late = warps.MinBy(warp => warp.Arrived)!;
        var waiting = Array.FindAll(warps, warp => warp.State == WarpState.AtClusterBarrier);
        var released = Array.FindAll(waiting, warp => warp.Waited < late.Arrived);
        if (released.Length == 0)
        {
            throw waiting[0].Fault(
                PtxFaultKind.ClusterBarrier, 0, null,
                $"a barrier of the cluster that thread {late.Index * 32} of block {late.Block.PlaceOf(late.Block.Index)} never reaches: it "
                + (late.State == WarpState.Done ? "has ended" : "waits at another barrier"));
        }

        foreach (var warp in released)
        {
            warp.Block.ReleaseFromCluster(warp);
        }
    }
}
