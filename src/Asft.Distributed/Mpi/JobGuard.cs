using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Asft.Distributed.Mpi;

/// <summary>
/// Ends the whole job where one rank cannot go on: the others would wait for it for ever. MPI's own end, <c>MPI_Finalize</c>, waits for them too,
/// so only a rank that has completed gets there.
/// </summary>
internal sealed class JobGuard : IDisposable
{
    private static readonly TimeSpan s_abortTime = TimeSpan.FromSeconds(1);

    [ThreadStatic]
    private static Exception? t_latest;

    private readonly string _rank;
    private readonly TimeSpan _timeout;
    private readonly Action _abort;
    private readonly PosixSignalRegistration _terminate;

    private string _collective = string.Empty;
    private long _bytes;
    private long _number;
    private long _since; // 0 outside of a collective
    private bool _isTerminated;
    private volatile bool _isOver;
    private int _isEnding;

    /// <summary>Guards a rank from now on.</summary>
    /// <param name="rank">Which it is, for messages.</param>
    /// <param name="timeout">How long it may be in a collective.</param>
    /// <param name="abort">Ends all ranks; may not return.</param>
    public JobGuard(string rank, TimeSpan timeout, Action abort)
    {
        _rank = rank;
        _timeout = timeout;
        _abort = abort;
        AppDomain.CurrentDomain.FirstChanceException += Remember;
        AppDomain.CurrentDomain.UnhandledException += EndWithException;
        AppDomain.CurrentDomain.ProcessExit += EndWithProcess;

        // A launcher that ends the job sends this to the ranks that are left. They have nothing to tell.
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, _ => _isTerminated = true);
        new Thread(Watch) { IsBackground = true, Name = "Asft watchdog" }.Start();
    }

    /// <summary>A rank enters a collective, and leaves it when the result is disposed.</summary>
    public Wait Enter(string collective, long bytes)
    {
        _collective = collective;
        _bytes = bytes;
        _number++;
        Volatile.Write(ref _since, Stopwatch.GetTimestamp());
        return new Wait(this);
    }

    /// <summary>The rank has done its work, and may end.</summary>
    public void Dispose()
    {
        AppDomain.CurrentDomain.FirstChanceException -= Remember;
        AppDomain.CurrentDomain.UnhandledException -= EndWithException;
        AppDomain.CurrentDomain.ProcessExit -= EndWithProcess;
        _terminate.Dispose();
        _isOver = true;
    }

    /// <summary>The rank leaves without having completed: mostly, an exception is on its way to whoever catches it.</summary>
    [DoesNotReturn]
    public void Leave() => End(t_latest is { } error ? $"left its group before Complete(), after {error}" : "left its group before Complete().");

    /// <summary>Until it is disposed, the rank waits for the others.</summary>
    internal readonly ref struct Wait(JobGuard guard)
    {
        public void Dispose() => Volatile.Write(ref guard._since, 0);
    }

    private static void Remember(object? sender, FirstChanceExceptionEventArgs thrown) => t_latest = thrown.Exception;

    private void EndWithException(object sender, UnhandledExceptionEventArgs unhandled) => End($"ends with {unhandled.ExceptionObject}");

    private void EndWithProcess(object? sender, EventArgs e)
    {
        if (_isTerminated)
        {
            Process.GetCurrentProcess().Kill();
        }

        End(Invariant($"ends before Complete(), with exit code {Environment.ExitCode}."));
    }

    private void Watch()
    {
        TimeSpan interval = TimeSpan.FromMilliseconds(Math.Clamp(_timeout.TotalMilliseconds / 10, 10, 1000));
        while (!_isOver)
        {
            Thread.Sleep(interval);
            long since = Volatile.Read(ref _since);
            if (since != 0 && Stopwatch.GetElapsedTime(since) > _timeout)
            {
                End(Invariant($"has waited for {_timeout.TotalSeconds:0.#} s in {_collective} of {_bytes} bytes, its collective number {_number}: another rank does not answer."));
            }
        }
    }

    /// <summary>Says why, and ends all ranks: by MPI, and if that does not come back, by ending this one as nothing can that a launcher overlooks.</summary>
    [DoesNotReturn]
    private void End(string why)
    {
        if (Interlocked.Exchange(ref _isEnding, 1) != 0)
        {
            Thread.Sleep(Timeout.Infinite); // another thread is about to
        }

        Console.Error.WriteLine($"Asft: {_rank} {why}");
        Console.Error.Flush();
        var abort = new Thread(() => _abort()) { IsBackground = true };
        abort.Start();
        abort.Join(s_abortTime);
        Process.GetCurrentProcess().Kill();
        Thread.Sleep(Timeout.Infinite);
        throw new UnreachableException();
    }
}
