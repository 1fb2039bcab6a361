namespace FineTune.Report;

/// <summary>A step, and the memory that the process had after it.</summary>
internal sealed record MeasuredStep(
    int Step,
    int Steps,
    double Loss,
    double Kl,
    double Entropy,
    double LabelProbability,
    double LearningRate,
    double GradientNorm,
    long Tokens,
    double Seconds,
    double MemoryMiB)
{
    public static MeasuredStep Of(TrainingStep step) => new(
        step.Step,
        step.Steps,
        step.Loss,
        step.Kl,
        step.Entropy,
        step.LabelProbability,
        step.LearningRate,
        step.GradientNorm,
        step.Tokens,
        step.Seconds,
        Environment.WorkingSet / (1024.0 * 1024.0));
}
