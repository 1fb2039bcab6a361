using System.Diagnostics;
using System.Runtime;

namespace Asft.Bench.Measuring;

/// <summary>
/// Brings managed code to its final speed. The runtime compiles a method again, better, after thirty calls and in the background, in up
/// to two steps; until then the code is slower, and the compiler's thread takes a core away from it. A training loop is long past that,
/// a benchmark of a few runs would not be. Torch's operations are native and need none of this.
/// </summary>
internal static class SteadyState
{
    /// <summary>Longer than the tenth of a second without new methods that the runtime waits for before it compiles again.</summary>
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(200);

    private static readonly TimeSpan s_running = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longest = TimeSpan.FromSeconds(10);

    /// <summary>Runs an action until the runtime compiles nothing any more.</summary>
    /// <param name="action">What will be measured.</param>
    public static void Reach(Action action)
    {
        var total = Stopwatch.StartNew();
        long compiled;
        do
        {
            compiled = JitInfo.GetCompiledMethodCount();
            var watch = Stopwatch.StartNew();
            do
            {
                action();
            }
            while (watch.Elapsed < s_running);

            Thread.Sleep(s_pause);
        }
        while (JitInfo.GetCompiledMethodCount() != compiled && total.Elapsed < s_longest);
    }
}
