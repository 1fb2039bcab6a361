using Spectre.Console;

namespace FineTune.Report;

/// <summary>Everything that watches a training: the screen, <c>metrics.jsonl</c>, and at the end a chart of it.</summary>
internal static class TrainingLog
{
    public const string MetricsName = "metrics.jsonl";
    public const string ChartName = "training.png";

    private static readonly TimeSpan s_plainInterval = TimeSpan.FromSeconds(2);

    /// <summary>Runs a training and watches it. The chart is drawn however the training ends, of as much as there is.</summary>
    /// <param name="directory">Where the files go; it exists.</param>
    /// <param name="afterStep">The step that a resumed training goes on behind; 0 for a new one.</param>
    /// <param name="training">The training, given whom to tell.</param>
    public static void Watch(string directory, int afterStep, Action<ITrainingLog> training)
    {
        string metrics = Path.Combine(directory, MetricsName);
        try
        {
            using var file = MetricsFile.Open(metrics, afterStep);
            if (Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Ansi)
            {
                training(new Both(file, new PlainLog(Console.Out, s_plainInterval)));
            }
            else
            {
                LiveLog.Show(AnsiConsole.Console, screen => training(new Both(file, screen)));
            }
        }
        finally
        {
            Draw(metrics, Path.Combine(directory, ChartName));
        }
    }

    private static void Draw(string metrics, string chart)
    {
        try
        {
            TrainingStep[] steps = File.Exists(metrics) ? MetricsFile.Read(metrics) : [];
            if (steps.Length > 1)
            {
                TrainingChart.Save(steps, chart);
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The training is what counts, and how it ended.
            Console.Error.WriteLine($"Cannot write the curves ({error.Message.TrimEnd('.')}).");
        }
    }

    private sealed class Both(ITrainingLog first, ITrainingLog second) : ITrainingLog
    {
        public void Report(TrainingStep step)
        {
            first.Report(step);
            second.Report(step);
        }

        public void Note(string message)
        {
            first.Note(message);
            second.Note(message);
        }
    }
}
