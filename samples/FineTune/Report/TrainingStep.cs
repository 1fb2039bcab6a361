namespace FineTune.Report;

/// <summary>What one optimizer step was like.</summary>
/// <param name="Step">Its number, from 1.</param>
/// <param name="Steps">How many there will be.</param>
/// <param name="Loss">What was minimized, the mean of its labelled tokens.</param>
/// <param name="Kl">KL divergence from the reference, nats per labelled token; NaN without a reference.</param>
/// <param name="Entropy">Entropy of the model's predictions, nats per labelled token.</param>
/// <param name="LabelProbability">Mean probability of the labels.</param>
/// <param name="LearningRate">The rate that the step was made with.</param>
/// <param name="GradientNorm">Norm of the gradient before it was clipped.</param>
/// <param name="Tokens">Tokens that went through the model, padding not included.</param>
/// <param name="Seconds">What the step took.</param>
internal sealed record TrainingStep(
    int Step,
    int Steps,
    double Loss,
    double Kl,
    double Entropy,
    double LabelProbability,
    double LearningRate,
    double GradientNorm,
    long Tokens,
    double Seconds)
{
    /// <summary>The process's resident memory after the step, MiB.</summary>
    public double MemoryMiB { get; init; } = Environment.WorkingSet / (1024.0 * 1024.0);
}
