using System.Diagnostics;

namespace Asft.Bench.Measuring;

/// <summary>Something to be timed, with what has to be put right before each run and is not.</summary>
/// <param name="Name">What it is called.</param>
/// <param name="Run">What is timed.</param>
/// <param name="Prepare">What comes before it, untimed.</param>
/// <param name="Times">How often it is done in a run, to take long enough; what is reported is the time of one.</param>
public sealed record TimedCase(string Name, Action Run, Action? Prepare = null, int Times = 1);

/// <summary>
/// Times several cases in one process, one run of each in turn, so that whatever the machine does meanwhile happens to all of them;
/// what is reported is ratios of medians.
/// </summary>
public static class Interleaved
{
    /// <summary>
    /// Before each run: torch's OpenMP threads go on spinning for some milliseconds after the operation that put things right, and would
    /// take a processor from whatever comes next.
    /// </summary>
    public static TimeSpan Settle { get; } = TimeSpan.FromMilliseconds(20);

    /// <summary>Median seconds of each case.</summary>
    /// <param name="cases">The cases.</param>
    /// <param name="rounds">Timed runs of each, after two that are not, and after the runtime has nothing left to compile.</param>
    /// <param name="progress">Told after each round.</param>
    public static IReadOnlyDictionary<string, double> Medians(IReadOnlyList<TimedCase> cases, int rounds, Action? progress = null)
    {
        const int WarmUp = 2;
        Dictionary<string, List<double>> times = cases.ToDictionary(c => c.Name, _ => new List<double>());
        foreach (TimedCase timed in cases)
        {
            SteadyState.Reach(() =>
            {
                timed.Prepare?.Invoke();
                timed.Run();
            });
        }

        for (int round = 0; round < rounds + WarmUp; round++)
        {
            foreach (TimedCase timed in cases)
            {
                timed.Prepare?.Invoke();
                Thread.Sleep(Settle);
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < timed.Times; i++)
                {
                    timed.Run();
                }

                double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds / timed.Times;
                if (round >= WarmUp)
                {
                    times[timed.Name].Add(seconds);
                }
            }

            progress?.Invoke();
        }

        return times.ToDictionary(pair => pair.Key, pair => pair.Value.Order().ElementAt(pair.Value.Count / 2));
    }
}
