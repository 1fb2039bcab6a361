using System.Diagnostics;
using System.Globalization;

namespace FineTune.Report;

/// <summary>The numbers of a step in words, with the speed of the last steps, now and then.</summary>
/// <param name="interval">The least time between two steps that are shown; the first and the last always are.</param>
internal sealed class StepText(TimeSpan interval)
{
    private const int Window = 50;

    private readonly Queue<(long Tokens, double Seconds)> recent = new();

    private long last;

    /// <summary>Takes a step into account.</summary>
    /// <returns>Whether it is to be shown.</returns>
    public bool Add(TrainingStep step)
    {
        recent.Enqueue((step.Tokens, step.Seconds));
        if (recent.Count > Window)
        {
            recent.Dequeue();
        }

        bool isDue = last == 0 || step.Step == step.Steps || Stopwatch.GetElapsedTime(last) >= interval;
        last = isDue ? Stopwatch.GetTimestamp() : last;
        return isDue;
    }

    /// <summary>Loss, KL, entropy and probability of the labels.</summary>
    public static string Learning(TrainingStep step) =>
        $"loss {Number(step.Loss, "F4")}  KL {Number(step.Kl, "F4")}  entropy {Number(step.Entropy, "F3")}  label probability {Number(step.LabelProbability, "F3")}";

    /// <summary>Tokens per second, memory and the time left, after the last step that was added.</summary>
    public string Speed(TrainingStep step)
    {
        double seconds = recent.Sum(one => one.Seconds);
        double tokens = recent.Sum(one => (double)one.Tokens);
        var left = TimeSpan.FromSeconds(seconds / Math.Max(1, recent.Count) * (step.Steps - step.Step));
        return $"{Number(tokens / seconds, "F0")} tokens/s  {(long)step.MemoryMiB} MiB  {(int)left.TotalHours}:{left.Minutes:D2}:{left.Seconds:D2} left";
    }

    private static string Number(double value, string format) => double.IsFinite(value) ? value.ToString(format, CultureInfo.InvariantCulture) : "-";
}
