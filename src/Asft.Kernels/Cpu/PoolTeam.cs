namespace Asft.Kernels.Cpu;

/// <summary>
/// The calling thread and helpers from .NET's thread pool. A helper that the pool starts late finds the loop closed and leaves: the caller
/// never waits for a thread that has not begun.
/// </summary>
/// <param name="threads">Asked at each call for the largest number of threads.</param>
internal sealed class PoolTeam(Func<int> threads) : ThreadTeam
{
    /// <inheritdoc/>
    public override int Threads => Math.Max(1, threads());

    /// <inheritdoc/>
    public override void Run(ParallelRowLoop loop, int threads)
    {
        var call = new Call(loop);
        try
        {
            for (int helper = 1; helper < threads; helper++)
            {
                ThreadPool.UnsafeQueueUserWorkItem(call, preferLocal: false);
            }

            loop.Work();
        }
        finally
        {
            call.Close();
        }
    }

    private sealed class Call(ParallelRowLoop loop) : IThreadPoolWorkItem
    {
        private const int Closed = 1 << 30;

        private int _helpers;

        public void Execute()
        {
            if ((Interlocked.Increment(ref _helpers) & Closed) == 0)
            {
                loop.Work();
            }

            Interlocked.Decrement(ref _helpers);
        }

        /// <summary>Lets nobody begin any more, and waits for those who have.</summary>
        public void Close()
        {
            Interlocked.Or(ref _helpers, Closed);
            SpinWait wait = default;
            while (Volatile.Read(ref _helpers) != Closed)
            {
                wait.SpinOnce(sleep1Threshold: -1);
            }
        }
    }
}
