namespace FineTune.Report;

/// <summary>Tells nobody: for the processes of a training that are not the first.</summary>
internal sealed class NoLog : ITrainingLog
{
    /// <inheritdoc/>
    public void Report(TrainingStep step)
    {
    }

    /// <inheritdoc/>
    public void Note(string message)
    {
    }
}
