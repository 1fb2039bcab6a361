namespace Asft.Kernels.Cpu;

/// <summary>Something to be done for each row, by a few threads at once.</summary>
internal interface IRowBody
{
    /// <summary>Works on the rows that <paramref name="rows"/> hands out until there are none left.</summary>
    /// <param name="rows">Hands out row numbers.</param>
    void Run(RowJob rows);
}

/// <summary>
/// One parallel loop over rows. The calling thread works, and helpers from the thread pool join in; each takes the next few rows from
/// a shared counter, so that cheap rows (ignored labels) and costly ones balance by themselves. A helper that the pool starts late
/// finds the job closed and leaves: the caller never waits for a thread that has not begun.
/// </summary>
internal sealed class RowJob : IThreadPoolWorkItem
{
    private const int Closed = 1 << 30;

    private readonly IRowBody _body;
    private readonly long _rows;
    private readonly long _batch;
    private long _taken;
    private int _helpers;

    private RowJob(IRowBody body, long rows, long batch)
    {
        _body = body;
        _rows = rows;
        _batch = batch;
    }

    /// <summary>Runs <paramref name="body"/> over all rows and returns when every row is done.</summary>
    /// <param name="body">The work; must not throw.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="batch">Rows taken at a time.</param>
    /// <param name="threads">Largest number of threads, the caller among them.</param>
    public static void Run(IRowBody body, long rows, long batch, int threads)
    {
        var job = new RowJob(body, rows, batch);
        long batches = (rows + batch - 1) / batch;
        for (int i = 1; i < Math.Min(threads, batches); i++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(job, preferLocal: false);
        }

        body.Run(job);
        job.Close();
    }

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
            _body.Run(this);
        }

        Interlocked.Decrement(ref _helpers);
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
