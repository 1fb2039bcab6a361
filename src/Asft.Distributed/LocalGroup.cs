using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed;

/// <summary>A group of one rank: what a program has that nothing has launched as one of several.</summary>
public sealed unsafe class LocalGroup : IProcessGroup
{
    /// <inheritdoc/>
    public int Rank => 0;

    /// <inheritdoc/>
    public int Size => 1;

    /// <inheritdoc/>
    public bool IsOnDevice => false;

    /// <inheritdoc/>
    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation)
    {
    }

    /// <inheritdoc/>
    public void AllGather(void* own, void* all, long bytes) => Buffer.MemoryCopy(own, all, bytes, bytes);

    /// <inheritdoc/>
    public void Broadcast(void* data, long bytes, int root)
    {
    }

    /// <inheritdoc/>
    public void Barrier()
    {
    }

    /// <inheritdoc/>
    public void Complete()
    {
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
