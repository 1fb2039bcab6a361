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
/// One parallel loop over rows. The calling thread works, and others of its team; each takes the next few rows from a shared counter, so
/// that cheap rows (ignored labels) and costly ones balance by themselves, and so do threads that begin early and late.
/// </summary>
/// <remarks>
/// Where a thread fails, nobody takes another row, and the first exception reaches the caller once every thread has left: what the
/// rows lie in may be freed then.
/// </remarks>
internal sealed class ParallelRowLoop
{
    private readonly IRowLoopBody _body;
    private readonly long _rows;
    private readonly long _batch;
    private readonly Func<nuint, RowScratch> _rent;
    private readonly bool _fromTheStart;
    private long _taken;
    private ExceptionDispatchInfo? _failure;

    private ParallelRowLoop(IRowLoopBody body, long rows, long batch, Func<nuint, RowScratch> rent, bool fromTheStart)
    {
        _body = body;
        _rows = rows;
        _batch = batch;
        _rent = rent;
        _fromTheStart = fromTheStart;
    }

    /// <summary>Runs <paramref name="body"/> over all rows and returns when every row is done, or throws what it threw.</summary>
    /// <param name="body">The work.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="batch">Rows taken at a time.</param>
    /// <param name="team">The threads.</param>
    /// <param name="threads">How many of them at most, the caller among them.</param>
    /// <param name="rent">Where the body's scratch comes from; null for <see cref="RowScratch.Rent"/>.</param>
    /// <param name="fromTheStart">Takes the first rows first. What reads them a second time does: the pass before it ended there.</param>
    public static void Run(
        IRowLoopBody body, long rows, long batch, ThreadTeam team, int threads, Func<nuint, RowScratch>? rent = null, bool fromTheStart = false)
    {
        var loop = new ParallelRowLoop(body, rows, batch, rent ?? RowScratch.Rent, fromTheStart);
        threads = (int)Math.Min(threads, (rows + batch - 1) / batch);
        if (threads > 1)
        {
            team.Run(loop, threads);
        }
        else
        {
            loop.Work();
        }

        loop._failure?.Throw();
    }

    /// <summary>Scratch for one thread, to be returned whatever happens.</summary>
    /// <param name="size">Bytes.</param>
    public RowScratch Rent(nuint size) => _rent(size);

    /// <summary>
    /// Takes the next rows, from the end of the matrix if nothing else is wanted: whatever made the logits wrote its last rows last, and they may
    /// still be in the cache.
    /// </summary>
    /// <param name="first">First row taken.</param>
    /// <param name="end">Row after the last taken.</param>
    /// <returns>False when there are none left.</returns>
    public bool TryTake(out long first, out long end)
    {
        long taken = Interlocked.Add(ref _taken, _batch) - _batch;
        long left = _rows - taken;
        (first, end) = _fromTheStart ? (taken, Math.Min(_rows, taken + _batch)) : (Math.Max(0, left - _batch), left);
        return left > 0;
    }

    /// <summary>One thread's share. Never throws.</summary>
    [SuppressMessage("Design", "CA1031:Do not catch general exception types", Justification = "It is thrown by the calling thread, when the others have left.")]
    public void Work()
    {
        try
        {
            _body.Run(this);
        }
        catch (Exception failure)
        {
            Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(failure), null);
            Interlocked.Exchange(ref _taken, _rows); // none are left to take
        }
    }
}
