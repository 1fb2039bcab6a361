using Asft.Kernels;

namespace Asft.Interop;

/// <summary>
/// The processes that work on one training step together, and how they exchange memory. Each member but <see cref="Complete"/> and
/// <see cref="IDisposable.Dispose"/> is a collective: every rank calls the same ones in the same order with the same sizes, and each waits for the
/// others. Several threads may not be in collectives at the same time.
/// </summary>
/// <remarks>
/// The package Asft.Distributed has one over MPI, one over NCCL, and one of a single rank. Results are the same bits on every rank, and the same
/// again when the same ranks do the same once more.
/// </remarks>
public unsafe interface IProcessGroup : IDisposable
{
    /// <summary>Which of the processes this is, from 0.</summary>
    int Rank { get; }

    /// <summary>How many processes there are, at least 1.</summary>
    int Size { get; }

    /// <summary>
    /// Whether memory that is exchanged is that of a CUDA device, where the exchange happens in the order of torch's work, and the host does not
    /// wait for it; the host's memory otherwise, where everything is done when a call returns.
    /// </summary>
    bool IsOnDevice { get; }

    /// <summary>Replaces each element by what all ranks have at its place, added or the largest of.</summary>
    /// <param name="data">The first element.</param>
    /// <param name="count">How many, at least 0.</param>
    /// <param name="type">Their type. Sums of 16-bit elements are rounded to it once.</param>
    /// <param name="operation">What becomes of them.</param>
    void AllReduce(void* data, long count, ElementType type, ReduceOperation operation);

    /// <summary>Gives every rank what each of them has.</summary>
    /// <param name="own">This rank's memory.</param>
    /// <param name="all">Where that of all goes, in the order of ranks: <see cref="Size"/> times as much. Does not overlap the other.</param>
    /// <param name="bytes">How many bytes a rank has, at least 0, the same on all.</param>
    void AllGather(void* own, void* all, long bytes);

    /// <summary>Gives every rank what one of them has.</summary>
    /// <param name="data">What is given, or where it goes.</param>
    /// <param name="bytes">How many bytes, at least 0.</param>
    /// <param name="root">The rank that has it.</param>
    void Broadcast(void* data, long bytes, int root);

    /// <summary>Waits until every rank is here.</summary>
    void Barrier();

    /// <summary>
    /// Says that this rank has done all it had to, and waits for the others to say so. A rank that ends without it has failed, and the others end
    /// with it: nothing would ever answer their next collective.
    /// </summary>
    void Complete();
}

/// <summary>What <see cref="IProcessGroup.AllReduce"/> makes of the elements of all ranks.</summary>
public enum ReduceOperation
{
    /// <summary>Their sum.</summary>
    Sum,

    /// <summary>The largest; NaN if one is that.</summary>
    Max,
}
