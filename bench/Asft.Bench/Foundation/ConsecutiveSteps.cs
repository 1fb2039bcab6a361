using System.Diagnostics;
using Asft.Bench.Figures;
using Asft.Bench.Problems;
using Asft.Interop;

namespace Asft.Bench.Foundation;

/// <summary>The default mode as a training begins: one step after the other, from the first that takes memory for a gradient from the system.</summary>
internal static class ConsecutiveSteps
{
    private const int Steps = 50;

    /// <summary>Times of all steps but the first.</summary>
    /// <param name="problem">The loss.</param>
    /// <param name="size">Its size, for people.</param>
    /// <param name="composed">Seconds that the composed loss takes.</param>
    public static IEnumerable<Figure> Times(LossProblem problem, string size, double composed)
    {
        const string Name = "default forward+backward, steps 2 to 50";
        AsftRuntime.EmptyMemoryCache();
        problem.Restore();
        double[] seconds = new double[Steps];
        for (int step = 0; step < Steps; step++)
        {
            long start = Stopwatch.GetTimestamp();
            problem.Fused();
            seconds[step] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }

        double[] sorted = [.. seconds.Skip(1).Order()];
        double At(double part) => sorted[(int)(part * sorted.Length)];
        yield return Figure.AtMost($"{Name}: slowest decile against fastest", size, At(0.9) / At(0.1), 1.3, 1.1, " x its time");
        yield return Figure.AtLeast($"{Name}, median against composed", size, composed / At(0.5), 20, 25, " x faster");
    }
}
