using Asft.Interop;
using Asft.Kernels;

namespace Asft.Distributed.Tests;

/// <summary>Ranks that are threads of this process, and exchange its memory.</summary>
internal sealed unsafe class ThreadGroup : IProcessGroup
{
    private readonly Shared _shared;

    private ThreadGroup(Shared shared, int rank)
    {
        _shared = shared;
        Rank = rank;
    }

    public int Rank { get; }

    public int Size => _shared.Pointers.Length;

    public bool IsOnDevice => false;

    /// <summary>How many collectives there were, and how many bytes this rank gave in them.</summary>
    public (int Collectives, long Bytes) Sent { get; private set; }

    /// <summary>Runs a function on each rank, and throws what the first of them threw that was not just told of another's end.</summary>
    public static void Run(int ranks, Action<ThreadGroup> work)
    {
        using var shared = new Shared(ranks);
        var errors = new Exception?[ranks];
        Thread[] threads = [.. Enumerable.Range(0, ranks).Select(rank => new Thread(() =>
        {
            try
            {
                TorchSharp.torch.set_num_threads(1);
                using var scope = TorchSharp.torch.NewDisposeScope();
                using var group = new ThreadGroup(shared, rank);
                work(group);
                group.Complete();
            }
            catch (Exception error)
            {
                errors[rank] = error;
                shared.End.Cancel();
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        if (errors.OfType<Exception>().FirstOrDefault(error => error is not OperationCanceledException) is { } first)
        {
            throw new AggregateException(first.Message, first);
        }
    }

    public void AllReduce(void* data, long count, ElementType type, ReduceOperation operation)
    {
        byte[] all = new byte[count * type.SizeInBytes() * Size];
        fixed (void* parts = all)
        {
            AllGather(data, parts, count * type.SizeInBytes());
            RankOrder.Reduce(parts, Size, data, (int)count, type, operation);
        }
    }

    public void AllGather(void* own, void* all, long bytes)
    {
        Exchange(own, bytes, () =>
        {
            for (int rank = 0; rank < Size; rank++)
            {
                Buffer.MemoryCopy((void*)_shared.Pointers[rank], (byte*)all + (rank * bytes), bytes, bytes);
            }
        });
    }

    public void Broadcast(void* data, long bytes, int root)
    {
        Exchange(data, bytes, () =>
        {
            if (Rank != root)
            {
                Buffer.MemoryCopy((void*)_shared.Pointers[root], data, bytes, bytes);
            }
        });
    }

    public void Barrier() => Exchange(null, 0, static () => { });

    public void Complete() => Barrier();

    public void Dispose()
    {
    }

    private void Exchange(void* own, long bytes, Action read)
    {
        Sent = (Sent.Collectives + 1, Sent.Bytes + bytes);
        _shared.Pointers[Rank] = (nint)own;
        _shared.Bytes[Rank] = bytes;
        _shared.Barrier.SignalAndWait(_shared.End.Token);
        if (_shared.Bytes.Any(other => other != bytes))
        {
            throw new InvalidOperationException($"The ranks exchange {string.Join(", ", _shared.Bytes)} bytes.");
        }

        read();
        _shared.Barrier.SignalAndWait(_shared.End.Token);
    }

    private sealed class Shared(int ranks) : IDisposable
    {
        public Barrier Barrier { get; } = new(ranks);

        public CancellationTokenSource End { get; } = new();

        public nint[] Pointers { get; } = new nint[ranks];

        public long[] Bytes { get; } = new long[ranks];

        public void Dispose()
        {
            Barrier.Dispose();
            End.Dispose();
        }
    }
}
