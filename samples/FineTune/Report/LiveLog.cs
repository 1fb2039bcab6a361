using Spectre.Console;
using Line = Spectre.Console.Text;

namespace FineTune.Report;

/// <summary>Three lines on the terminal that are written anew a few times a second, and notes above them.</summary>
internal sealed class LiveLog : ITrainingLog
{
    private const int BarWidth = 40;

    private static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(200);

    private readonly IAnsiConsole console;
    private readonly LiveDisplayContext display;
    private readonly StepText text = new(s_interval);

    private LiveLog(IAnsiConsole console, LiveDisplayContext display) => (this.console, this.display) = (console, display);

    /// <summary>Shows a training while it runs.</summary>
    public static void Show(IAnsiConsole console, Action<ITrainingLog> training) =>
        console.Live(new Line(string.Empty)).Start(display => training(new LiveLog(console, display)));

    public void Report(TrainingStep step)
    {
        if (text.Add(step))
        {
            int done = (int)((long)BarWidth * step.Step / step.Steps);
            (char full, char rest) = console.Profile.Capabilities.Unicode ? ('━', '─') : ('#', '-');
            display.UpdateTarget(new Rows(
                new Line($"{new string(full, done)}{new string(rest, BarWidth - done)} step {step.Step} of {step.Steps}"),
                new Line(StepText.Learning(step)),
                new Line(text.Speed(step))));
        }
    }

    public void Note(string message) => console.WriteLine(message);
}
