using FineTune.Evaluation;

namespace FineTune.Study;

/// <summary>One fine-tuning and what came of it.</summary>
/// <param name="Settings">The <see cref="StudySettings.Fingerprint"/> it was made with.</param>
/// <param name="Seed">Seed of base model and data.</param>
/// <param name="Domain">What it was fine-tuned on.</param>
/// <param name="Method">How.</param>
/// <param name="KlWeight">Weight of the divergence.</param>
/// <param name="LearningRate">Peak learning rate.</param>
/// <param name="Accuracy">Share of right answers to held-out problems of the domain.</param>
/// <param name="Kept">The same of the other domains, mean.</param>
/// <param name="Drift">KL(base || model) in the domain, nats per token of right responses.</param>
/// <param name="DriftElsewhere">The same in the other domains, mean.</param>
/// <param name="BaseAccuracy">The base model's <paramref name="Accuracy"/>.</param>
/// <param name="BaseKept">The base model's <paramref name="Kept"/>.</param>
/// <param name="StepSeconds">Median time of a step, the reference's forward pass included.</param>
internal sealed record StudyRun(
    string Settings,
    int Seed,
    string Domain,
    string Method,
    double KlWeight,
    double LearningRate,
    double Accuracy,
    double Kept,
    double Drift,
    double DriftElsewhere,
    double BaseAccuracy,
    double BaseKept,
    double StepSeconds)
{
    /// <summary>Whether both are the same cell of the grid.</summary>
    public bool SameCell(StudyRun other) =>
        (Settings, Seed, Domain, Method, KlWeight, LearningRate)
        == (other.Settings, other.Seed, other.Domain, other.Method, other.KlWeight, other.LearningRate);

    /// <summary>The same cell with results.</summary>
    public StudyRun With(Score score, Score baseScore, double stepSeconds) => this with
    {
        Accuracy = score.Domain.Accuracy,
        Kept = score.AccuracyKept,
        Drift = score.Domain.Kl,
        DriftElsewhere = score.KlElsewhere,
        BaseAccuracy = baseScore.Domain.Accuracy,
        BaseKept = baseScore.AccuracyKept,
        StepSeconds = stepSeconds,
    };
}
