using FineTune.Evaluation;

namespace FineTune.Report;

/// <summary>Says in words what the numbers say, whichever mode they favour.</summary>
internal static class Summary
{
    public static string Of(Results results)
    {
        string text = results.Outcomes.Length == 1 ? One(results, results.Outcomes[0]) : Comparison(results);
        return $"{text} {Uncertainty(results)}";
    }

    private static string One(Results results, Outcome outcome) =>
        $"{outcome.Mode.Name} took the held-out accuracy on {results.Base.Domain.Name} from "
        + $"{Percent(results.Base.Domain.Accuracy)} to {Percent(outcome.Final.Domain.Accuracy)}, and the accuracy on the other problems "
        + $"from {Percent(results.Base.AccuracyKept)} to {Percent(outcome.Final.AccuracyKept)}; from the base model it drifted by "
        + $"{Nats(outcome.Final.Domain.Kl)} on {results.Base.Domain.Name}, and by {Nats(outcome.Final.KlElsewhere)} on the others.";

    private static string Comparison(Results results)
    {
        string domain = results.Base.Domain.Name;
        string learned = Order(results, "learned", score => score.Domain.Accuracy, Percent);
        string kept = Order(results, "kept", score => score.AccuracyKept, Percent);
        string drifted = Order(results, "drifted", score => score.Domain.Kl, Nats);
        string driftedElsewhere = Order(results, "drifted", score => score.KlElsewhere, Nats);
        string[] worse =
            [.. results.Outcomes.Where(o => o.Final.Domain.Accuracy < results.Base.Domain.Accuracy).Select(o => o.Mode.Name)];

        return $"Of {domain}, which the base model gets right in {Percent(results.Base.Domain.Accuracy)}, {learned}. "
            + (worse.Length == 0 ? "" : $"Worse at it than before the fine-tuning: {string.Join(", ", worse)}. ")
            + $"Of the other problems, right in {Percent(results.Base.AccuracyKept)} before, {kept}. "
            + $"From the base model, {drifted} on {domain}; on the other problems, {driftedElsewhere}.";
    }

    /// <summary>Who is first and who last by one number; equals share a place.</summary>
    private static string Order(Results results, string verb, Func<Score, double> value, Func<double, string> format)
    {
        double most = results.Outcomes.Max(outcome => value(outcome.Final));
        double least = results.Outcomes.Min(outcome => value(outcome.Final));

        string Who(double number) => string.Join(
            " and ", results.Outcomes.Where(outcome => value(outcome.Final).Equals(number)).Select(outcome => outcome.Mode.Name));

        return most.Equals(least)
            ? $"all {verb} the same ({format(most)})"
            : $"{Who(most)} {verb} most ({format(most)}) and {Who(least)} least ({format(least)})";
    }

    /// <summary>Two binomial standard errors, at the accuracy where they are widest.</summary>
    private static string Uncertainty(Results results)
    {
        double Error(int problems) => 2 * Math.Sqrt(0.25 / problems);
        int domain = results.Base.Domain.Problems;
        int others = results.Base.Others.Sum(score => score.Problems);
        return $"This is one run: an accuracy on {domain} held-out problems is known to within {100 * Error(domain):F0} points, one on the "
            + $"{others} others to within {100 * Error(others):F0}; see whether a smaller difference survives another --seed.";
    }

    private static string Percent(double share) => $"{100 * share:F1} %";

    private static string Nats(double value) => $"{value:F3} nats per token";
}
