namespace FineTune.Report;

/// <summary>Told of a training as it goes on. None of its members may slow a step down.</summary>
internal interface ITrainingLog
{
    /// <summary>A step has ended.</summary>
    void Report(TrainingStep step);

    /// <summary>Something to tell besides the numbers: a warning, a checkpoint saved.</summary>
    void Note(string message);
}
