namespace FineTune.Evaluation;

/// <summary>How a model does on the held-out problems of one kind.</summary>
/// <param name="Name">The kind.</param>
/// <param name="Problems">How many there are.</param>
/// <param name="Accuracy">Share of problems answered rightly by greedy decoding.</param>
/// <param name="TokenAccuracy">Share of the response tokens that the model finds likeliest, given the right ones before.</param>
/// <param name="Loss">Negative log-likelihood of the right responses, in nats per token.</param>
/// <param name="Kl">KL divergence from the base model over the right responses, in nats per token.</param>
internal sealed record DomainScore(string Name, int Problems, double Accuracy, double TokenAccuracy, double Loss, double Kl);

/// <summary>How a model does in the domain of the fine-tuning, and in the others.</summary>
internal sealed record Score(DomainScore Domain, DomainScore[] Others)
{
    public double AccuracyKept => Others.Average(score => score.Accuracy);

    public double KlElsewhere => Others.Average(score => score.Kl);
}
