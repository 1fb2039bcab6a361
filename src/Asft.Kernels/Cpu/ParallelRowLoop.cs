using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace Asft.Kernels.Cpu;

/// <summary>Something to be done for each row, by a few threads at once.</summary>
internal interface IRowLoopBody
{
    /// <summary>Works on the rows that <paramref name="rows"/> hands out until there are none left.</summary>
    /// <param name="rows">Hands out row numbers.</param>
    void Run(ParallelRowLoop rows);
}

/// <summary>
/// One parallel loop over rows. The calling thread works, and helpers from the thread pool join in; each takes the next few rows from
/// a shared counter, so that cheap rows (ignored labels) and costly ones balance by themselves. A helper that the pool starts late
/// finds the job closed and leaves: the caller never waits for a thread that has not begun.
/// </summary>
/// <remarks>
/// Where a thread fails, nobody takes another row, and the first exception reaches the caller once every helper has left: what the
/// rows lie in may be freed then.
/// </remarks>
internal sealed class ParallelRowLoop : IThreadPoolWorkItem
{
    private const int Closed = 1 << 30;

    private readonly IRowLoopBody _body;
    private readonly long _rows;
    private readonly long _batch;
    private readonly Func<nuint, RowScratch> _rent;
    private long _taken;
    private int _helpers;
    private ExceptionDispatchInfo? _failure;

    private ParallelRowLoop(IRowLoopBody body, long rows, long batch, Func<nuint, RowScratch> rent)
    {
        _body = body;
        _rows = rows;
        _batch = batch;
        _rent = rent;
    }

    /// <summary>Runs <paramref name="body"/> over all rows and returns when every row is done, or throws what it threw.</summary>
    /// <param name="body">The work.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="batch">Rows taken at a time.</param>
    /// <param name="threads">Largest number of threads, the caller among them.</param>
    /// <param name="rent">Where the body's scratch comes from; null for <see cref="RowScratch.Rent"/>.</param>
    public static void Run(IRowLoopBody body, long rows, long batch, int threads, Func<nuint, RowScratch>? rent = null)
    {
        var job = new ParallelRowLoop(body, rows, batch, rent ?? RowScratch.Rent);
        long batches = (rows + batch - 1) / batch;
        job.Work(helpers: Math.Min(threads, batches) - 1);
        job.Close();
        job._failure?.Throw();
    }

    /// <summary>Scratch for one thread, to be returned whatever happens.</summary>
    /// <param name="size">Bytes.</param>
    public RowScratch Rent(nuint size) => _rent(size);

    /// <summary>
    /// Takes the next rows, from the end of the matrix: whatever made the logits wrote its last rows last, and they may still be in
    /// the cache.
    /// </summary>
    /// <param name="first">First row taken.</param>
    /// <param name="end">Row after the last taken.</param>
    /// <returns>False when there are none left.</returns>
    public bool TryTake(out long first, out long end)
    {
        end = _rows - (Interlocked.Add(ref _taken, _batch) - _batch);
        first = Math.Max(0, end - _batch);
        return end > 0;
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute()
    {
        if ((Interlocked.Increment(ref _helpers) & Closed) == 0)
        {
            Work(helpers: 0);
        }

        Interlocked.Decrement(ref _helpers);
    }

    /// <summary>One thread's share: calls helpers and works itself. Never throws.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "It is thrown by the calling thread, when the others have left.")]
    private void Work(long helpers)
    {
        try
        {
            for (long i = 0; i < helpers; i++)
            {
                ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            }

            _body.Run(this);
        }
        catch (Exception failure)
        {
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(failure), null);
            Interlocked.Exchange(ref _taken, _rows); // none are left to take
        }
    }

    private void Close()
    {
        Interlocked.Or(ref _helpers, Closed);
        SpinWait wait = default;
        while (Volatile.Read(ref _helpers) != Closed)
        {
            wait.SpinOnce(sleep1Threshold: -1);
        }
    }
}
