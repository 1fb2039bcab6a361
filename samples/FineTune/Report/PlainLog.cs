namespace FineTune.Report;

/// <summary>A line of text now and then, for files and pipes: the first step, then one a <paramref name="interval"/>, and the last.</summary>
/// <param name="output">Where to.</param>
/// <param name="interval">The least time between two lines.</param>
internal sealed class PlainLog(TextWriter output, TimeSpan interval) : ITrainingLog
{
    private readonly StepText text = new(interval);

    public void Report(TrainingStep step)
    {
        if (text.Add(step))
        {
            output.WriteLine($"step {step.Step}/{step.Steps}  {StepText.Learning(step)}  {text.Speed(step)}");
        }
    }

    public void Note(string message) => output.WriteLine(message);
}
