using System.Collections.Concurrent;
using Asft.Kernels.Cpu;
using static TorchSharp.torch;

namespace Asft.Interop.Tests;

/// <summary>Loops on torch's own threads: as many as torch is told, from any number of callers, and within each other.</summary>
public class TorchTeamTests() : TorchTest
{
    private const int Rows = 1000;

    [Test]
    public void ItIsThere() => Assert.That(TorchTeam.Instance, OperatingSystem.IsLinux() ? Is.TypeOf<TorchTeam>() : Is.Not.Null);

    /// <summary>Each thread waits for the others before it takes a row, so all work at once.</summary>
    [Test]
    public void ItHasTheThreadsThatAreAskedFor([Values(2, 3)] int threads)
    {
        set_num_threads(3);
        ConcurrentBag<int> ids = [];
        using var together = new Barrier(threads);
        int[] taken = Run(threads, () =>
        {
            ids.Add(Environment.CurrentManagedThreadId);
            together.SignalAndWait();
        });
        Assert.That(taken, Has.All.EqualTo(1));
        Assert.That(ids, Has.Count.EqualTo(threads).And.Unique);
    }

    [Test]
    public void CallersDoNotMeet()
    {
        set_num_threads(2);
        ConcurrentBag<int[]> all = [];
        Thread[] callers = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            for (int i = 0; i < 20; i++)
            {
                all.Add(Run(2));
            }
        }))];
        Array.ForEach(callers, caller => caller.Start());
        Array.ForEach(callers, caller => caller.Join());
        Assert.That(all, Has.Count.EqualTo(60));
        Assert.That(all.SelectMany(taken => taken), Has.All.EqualTo(1));
    }

    [Test]
    public void ALoopWithinALoopIsDone()
    {
        set_num_threads(2);
        ConcurrentBag<int[]> inner = [];
        Run(2, () => inner.Add(Run(2)));
        Assert.That(inner, Is.Not.Empty);
        Assert.That(inner.SelectMany(taken => taken), Has.All.EqualTo(1));
    }

    /// <summary>Runs a loop.</summary>
    /// <returns>How often each row was taken.</returns>
    private static int[] Run(int threads, Action? begin = null)
    {
        var body = new Body(begin);
        ParallelRowLoop.Run(body, Rows, batch: 7, TorchTeam.Instance, threads);
        return body.Taken;
    }

    private sealed class Body(Action? begin) : IRowLoopBody
    {
        public int[] Taken { get; } = new int[Rows];

        public void Run(ParallelRowLoop rows)
        {
            begin?.Invoke();
            while (rows.TryTake(out long first, out long end))
            {
                for (long row = first; row < end; row++)
                {
                    Interlocked.Increment(ref Taken[row]);
                }
            }
        }
    }
}
