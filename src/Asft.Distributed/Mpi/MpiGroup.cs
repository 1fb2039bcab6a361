using System.Runtime.InteropServices;
using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed.Mpi;

/// <summary>All processes of an MPI job, exchanging host memory.</summary>
internal sealed unsafe class MpiGroup : IProcessGroup
{
    /// <summary>MPI counts in int, and buffers are not for free.</summary>
    private const long LargestMessage = 1 << 28;

    /// <summary>Below this, one collective with everybody's elements costs less than two with a part of them each.</summary>
    private const long SmallSum = 16 << 10;

    private const int BlockBytes = 8 << 20;

    private readonly MpiLibrary _mpi;
    private readonly JobGuard _guard;
    private void* _scratch;
    private nuint _scratchBytes;
    private bool _isOver;

    private MpiGroup(MpiLibrary mpi, TimeSpan timeout)
    {
        _mpi = mpi;
        Rank = mpi.Rank;
        Size = mpi.Size;
        _guard = new JobGuard(Invariant($"rank {Rank} of {Size}"), timeout, mpi.Abort);
    }

    /// <inheritdoc/>
    public int Rank { get; }

    /// <inheritdoc/>
    public int Size { get; }

    /// <inheritdoc/>
    public bool IsOnDevice => false;

    /// <summary>Joins the job.</summary>
    /// <exception cref="InvalidOperationException">MPI was started already, or its library is not the launcher's.</exception>
    public static MpiGroup Join(MpiLauncher launcher, TimeSpan timeout)
    {
        var mpi = MpiLibrary.Load(launcher);
        mpi.Start();
        if (launcher.Size is { } expected && mpi.Size != expected)
        {
            int found = mpi.Size;
            mpi.Stop();
            throw new InvalidOperationException(Invariant(
                $"The launcher started {expected} ranks, but {mpi.Name} finds {found}: it is not the library of the MPI that launched this process. ASFT_MPI chooses another: openmpi, mpich, abi, or a path."));
        }

        return new MpiGroup(mpi, timeout);
    }

    /// <inheritdoc/>
    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation)
    {
        using JobGuard.Wait wait = Enter("an all-reduce", count * type.SizeInBytes());
        int size = type.SizeInBytes();
        for (byte* block = (byte*)data; count > 0;)
        {
            long elements = Math.Min(count, BlockBytes / size);
            if (elements * size <= SmallSum || elements < Size)
            {
                SumOfAll(block, (int)elements, type, operation);
            }
            else
            {
                elements = elements / Size * Size; // what is left over is small
                SumInParts(block, (int)(elements / Size), type, operation);
            }

            block += elements * size;
            count -= elements;
        }
    }

    /// <inheritdoc/>
    public void AllGather(void* own, void* all, long bytes)
    {
        using JobGuard.Wait wait = Enter("an all-gather", bytes);
        if (bytes <= LargestMessage / Size)
        {
            _mpi.AllGather(own, all, (int)bytes);
            return;
        }

        long most = Math.Max(1, LargestMessage / Size);
        byte* part = Scratch(most * Size);
        for (long done = 0; done < bytes; done += most)
        {
            long count = Math.Min(most, bytes - done);
            _mpi.AllGather((byte*)own + done, part, (int)count);
            for (int rank = 0; rank < Size; rank++)
            {
                Buffer.MemoryCopy(part + (rank * count), (byte*)all + (rank * bytes) + done, count, count);
            }
        }
    }

    /// <inheritdoc/>
    public void Broadcast(void* data, long bytes, int root)
    {
        using JobGuard.Wait wait = Enter("a broadcast", bytes);
        for (long done = 0; done < bytes; done += LargestMessage)
        {
            _mpi.Broadcast((byte*)data + done, (int)Math.Min(LargestMessage, bytes - done), root);
        }
    }

    /// <inheritdoc/>
    public void Barrier()
    {
        using JobGuard.Wait wait = Enter("a barrier", 0);
        _mpi.Barrier();
    }

    /// <inheritdoc/>
    public void Complete()
    {
        using (Enter("the end of the job", 0))
        {
            _mpi.Barrier();
            _mpi.Stop();
        }

        _guard.Dispose();
        Free();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!_isOver)
        {
            _guard.Leave();
        }

        Free();
    }

    private JobGuard.Wait Enter(string what, long bytes)
    {
        ObjectDisposedException.ThrowIf(_isOver, typeof(IProcessGroup));
        return _guard.Enter(what, bytes);
    }

    /// <summary>Everybody gets everybody's elements and adds them.</summary>
    private void SumOfAll(void* data, int count, ElementType type, ReduceOperation operation)
    {
        int bytes = count * type.SizeInBytes();
        byte* all = Scratch((long)bytes * Size);
        _mpi.AllGather(data, all, bytes);
        RankOrder.Reduce(all, Size, data, count, type, operation);
    }

    /// <summary>Each rank gets everybody's elements of its part, adds them, and gives the others the sum.</summary>
    private void SumInParts(void* data, int count, ElementType type, ReduceOperation operation)
    {
        int bytes = count * type.SizeInBytes();
        byte* parts = Scratch((long)bytes * (Size + 1));
        byte* sum = parts + ((long)bytes * Size);
        _mpi.AllToAll(data, parts, bytes);
        RankOrder.Reduce(parts, Size, sum, count, type, operation);
        _mpi.AllGather(sum, data, bytes);
    }

    /// <summary>Memory that lasts as long as the group, as a library may register what it has seen once.</summary>
    private byte* Scratch(long bytes)
    {
        if (_scratchBytes < (nuint)bytes)
        {
            _scratchBytes = (nuint)bytes;
            _scratch = NativeMemory.Realloc(_scratch, _scratchBytes);
        }

        return (byte*)_scratch;
    }

    private void Free()
    {
        _isOver = true;
        NativeMemory.Free(_scratch);
        _scratch = null;
        _scratchBytes = 0;
    }
}
