using System.Diagnostics;

namespace FineTune.Training;

/// <summary>What a training step takes: its median time, and the median of how far memory rises while it runs.</summary>
internal sealed record StepCost(double Seconds, double MemoryMiB);

/// <summary>
/// Runs steps and measures each. A few early ones are measured for memory, and their time is left out, because looking at
/// the memory slows them down; the very first is measured for neither, since it creates what later steps find in place.
/// </summary>
internal sealed class StepMeter
{
    private const int FirstMemoryStep = 1;
    private const int MemorySteps = 5;

    private readonly List<double> seconds = [];
    private readonly List<double> memory = [];
    private int steps;

    public StepCost Cost => new(Median(seconds), Median(memory));

    public void Run(Action step)
    {
        if (steps is >= FirstMemoryStep and < FirstMemoryStep + MemorySteps)
        {
            memory.Add(ResidentMemory.Rise(step) / (1024.0 * 1024.0));
        }
        else
        {
            long start = Stopwatch.GetTimestamp();
            step();
            if (steps > 0)
            {
                seconds.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }

        steps++;
    }

    /// <summary>NaN, which the report shows as a dash, if the run was too short to measure.</summary>
    private static double Median(List<double> values) => values.Count == 0 ? double.NaN : values.Order().ElementAt(values.Count / 2);
}
