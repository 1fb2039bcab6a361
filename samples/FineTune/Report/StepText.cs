using System.Globalization;

namespace FineTune.Report;

/// <summary>The numbers of a step in words, with the speed of the last steps.</summary>
internal sealed class StepText
{
    private const int Window = 50;

    private readonly Queue<(long Tokens, double Seconds)> recent = new();

    /// <summary>Takes a step into account.</summary>
    public void Add(TrainingStep step)
    {
        recent.Enqueue((step.Tokens, step.Seconds));
        if (recent.Count > Window)
        {
            recent.Dequeue();
        }
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
        return $"{Number(tokens / seconds, "F0")} tokens/s  {Environment.WorkingSet >> 20} MiB  {(int)left.TotalHours}:{left.Minutes:D2}:{left.Seconds:D2} left";
    }

    private static string Number(double value, string format) => double.IsFinite(value) ? value.ToString(format, CultureInfo.InvariantCulture) : "-";
}
