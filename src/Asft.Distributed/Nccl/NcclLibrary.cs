using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed.Nccl;

/// <summary>What NCCL is told at the beginning so that ranks find each other.</summary>
[InlineArray(Bytes)]
internal struct NcclUniqueId
{
    public const int Bytes = 128;

    private byte _first;
}

/// <summary>The functions of <c>libnccl.so.2</c> that are needed here.</summary>
internal sealed unsafe class NcclLibrary
{
    private const string Name = "libnccl.so.2";

    private static readonly Lazy<NcclLibrary?> s_instance = new(static () =>
        NativeLibrary.TryLoad(Name, typeof(NcclLibrary).Assembly, null, out nint library) ? new NcclLibrary(library) : null);

    private readonly delegate* unmanaged<NcclUniqueId*, int> _uniqueId;
    private readonly delegate* unmanaged<nint*, int, NcclUniqueId, int, int> _begin;
    private readonly delegate* unmanaged<void*, void*, nuint, int, int, nint, nint, int> _allReduce;
    private readonly delegate* unmanaged<void*, void*, nuint, int, nint, nint, int> _allGather;
    private readonly delegate* unmanaged<void*, void*, nuint, int, int, nint, nint, int> _broadcast;
    private readonly delegate* unmanaged<nint, int> _end;
    private readonly delegate* unmanaged<int, byte*> _error;

    private NcclLibrary(nint library)
    {
        _uniqueId = (delegate* unmanaged<NcclUniqueId*, int>)Export("ncclGetUniqueId");
        _begin = (delegate* unmanaged<nint*, int, NcclUniqueId, int, int>)Export("ncclCommInitRank");
        _allReduce = (delegate* unmanaged<void*, void*, nuint, int, int, nint, nint, int>)Export("ncclAllReduce");
        _allGather = (delegate* unmanaged<void*, void*, nuint, int, nint, nint, int>)Export("ncclAllGather");
        _broadcast = (delegate* unmanaged<void*, void*, nuint, int, int, nint, nint, int>)Export("ncclBroadcast");
        _end = (delegate* unmanaged<nint, int>)Export("ncclCommDestroy");
        _error = (delegate* unmanaged<int, byte*>)Export("ncclGetErrorString");

        nint Export(string function) => NativeLibrary.GetExport(library, function);
    }

    /// <summary>The library; null where there is none.</summary>
    public static NcclLibrary? Instance => s_instance.Value;

    /// <summary>The library.</summary>
    /// <exception cref="DllNotFoundException">There is none.</exception>
    public static NcclLibrary Required => Instance ?? throw new DllNotFoundException(
        $"There is no {Name}: it comes with the CUDA builds of libtorch, and with Debian's libnccl2.");

    /// <summary>A new identity of a communicator, for one rank to make and all to be told.</summary>
    public NcclUniqueId UniqueId()
    {
        NcclUniqueId id;
        Check(_uniqueId(&id), "ncclGetUniqueId");
        return id;
    }

    /// <summary>A communicator on the calling thread's CUDA device. Every rank calls this.</summary>
    public nint Begin(int size, NcclUniqueId id, int rank)
    {
        nint communicator;
        Check(_begin(&communicator, size, id, rank), "ncclCommInitRank");
        return communicator;
    }

    /// <summary>Enqueues an all-reduce in place.</summary>
    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation, nint communicator, nint stream)
    {
        int element = type switch { ElementType.Float64 => 8, ElementType.Float32 => 7, ElementType.Float16 => 6, _ => 9 };
        Check(_allReduce(data, data, (nuint)count, element, operation == ReduceOperation.Sum ? 0 : 2, communicator, stream), "ncclAllReduce");
    }

    /// <summary>Enqueues an all-gather of bytes.</summary>
    public void AllGather(void* own, void* all, long bytes, nint communicator, nint stream) =>
        Check(_allGather(own, all, (nuint)bytes, 1, communicator, stream), "ncclAllGather");

    /// <summary>Enqueues a broadcast of bytes in place.</summary>
    public void Broadcast(void* data, long bytes, int root, nint communicator, nint stream) =>
        Check(_broadcast(data, data, (nuint)bytes, 1, root, communicator, stream), "ncclBroadcast");

    /// <summary>Frees a communicator.</summary>
    public void End(nint communicator) => Check(_end(communicator), "ncclCommDestroy");

    private void Check(int result, string function)
    {
        if (result != 0)
        {
            throw new InvalidOperationException(Invariant($"{function} failed with error {result}: {Marshal.PtrToStringUTF8((nint)_error(result))}."));
        }
    }
}
