using Asft.Distributed.Nccl;
using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed;

/// <summary>
/// The ranks of another group, exchanging the memory of CUDA devices through NCCL, by <c>libnccl.so.2</c>. <b>Unproven</b>: of this class, no more has
/// run than what needs no GPU, which is to load the library and to make the identity that ranks find each other by.
/// </summary>
/// <remarks>
/// <para>
/// Each rank works on one device, the first that it sees; <c>CUDA_VISIBLE_DEVICES</c> says which. Exchanges are enqueued on the legacy default stream,
/// which is torch's, and nothing waits for them.
/// </para>
/// <para>
/// NCCL adds in an order of its own, which is the same for the same devices and connections, and rounds sums of 16-bit elements at each addition.
/// A rank that fails ends the job by the other group; a collective that nobody answers is not found out before the host waits in that group.
/// </para>
/// </remarks>
public sealed unsafe class NcclGroup : IProcessGroup
{
    private const nint DefaultStream = 0;

    private readonly IProcessGroup _hosts;
    private readonly NcclLibrary _nccl;
    private nint _communicator;

    /// <summary>Connects the devices of the ranks. A collective of <paramref name="hosts"/>.</summary>
    /// <param name="hosts">The ranks, exchanging host memory; this group's from now on, to be completed and disposed with it.</param>
    /// <exception cref="ArgumentNullException"><paramref name="hosts"/> is null.</exception>
    /// <exception cref="DllNotFoundException">There is no <c>libnccl.so.2</c>.</exception>
    /// <exception cref="InvalidOperationException">NCCL finds no device, or cannot connect them.</exception>
    public NcclGroup(IProcessGroup hosts)
    {
        ArgumentNullException.ThrowIfNull(hosts);
        _hosts = hosts;
        _nccl = NcclLibrary.Required;
        NcclUniqueId id = hosts.Rank == 0 ? _nccl.UniqueId() : default;
        hosts.Broadcast(&id, NcclUniqueId.Bytes, root: 0);
        _communicator = _nccl.Begin(hosts.Size, id, hosts.Rank);
    }

    /// <inheritdoc/>
    public int Rank => _hosts.Rank;

    /// <inheritdoc/>
    public int Size => _hosts.Size;

    /// <inheritdoc/>
    public bool IsOnDevice => true;

    /// <inheritdoc/>
    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation) =>
        _nccl.AllReduce(data, count, type, operation, Communicator, DefaultStream);

    /// <inheritdoc/>
    public void AllGather(void* own, void* all, long bytes) => _nccl.AllGather(own, all, bytes, Communicator, DefaultStream);

    /// <inheritdoc/>
    public void Broadcast(void* data, long bytes, int root) => _nccl.Broadcast(data, bytes, root, Communicator, DefaultStream);

    /// <inheritdoc/>
    public void Barrier() => _hosts.Barrier();

    /// <inheritdoc/>
    public void Complete()
    {
        Disconnect();
        _hosts.Complete();
    }

    /// <summary>Disposes of the ranks. Devices are not disconnected by a group that was not completed: that would wait for the others.</summary>
    public void Dispose() => _hosts.Dispose();

    private nint Communicator => _communicator != 0 ? _communicator : throw new ObjectDisposedException(nameof(NcclGroup));

    private void Disconnect()
    {
        if (_communicator != 0)
        {
            _nccl.End(_communicator);
            _communicator = 0;
        }
    }
}
