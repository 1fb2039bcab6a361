using static System.FormattableString;

namespace FineTune.Study;

/// <summary>A claim, what was compared for it, and whether the numbers confirm it.</summary>
internal sealed record StudyClaim(string Claim, string Comparison, string Numbers, string Verdict);

/// <summary>The claims of the paper, tested on one domain.</summary>
internal static class StudyClaims
{
    /// <summary>A difference of accuracy that does not matter.</summary>
    public const double Margin = 0.02;

    private const double PaperWeight = 0.05;
    private const string Forward = "ASFT forward";
    private const string Confirmed = "confirmed";
    private const string Contradicted = "contradicted";
    private const string Open = "not decided";

    public static IEnumerable<StudyClaim> Of(StudyResults results, StudySettings settings)
    {
        double weight = settings.KlWeights.MinBy(weight => Math.Abs(weight - PaperWeight));
        Func<StudyRun, bool> sft = Is("SFT");
        Func<StudyRun, bool> dft = Is("DFT");
        Func<StudyRun, bool> asft = Is(Forward, weight);
        string name = Invariant($"ASFT (forward, {weight})");

        yield return More("DFT drifts from the base model", "KL: DFT less SFT", results.Difference(dft, sft, run => run.Drift), Nats);
        yield return More("", $"KL: DFT less {name}", results.Difference(dft, asft, run => run.Drift), Nats);
        yield return More("", $"KL in the other domains: DFT less {name}", results.Difference(dft, asft, run => run.DriftElsewhere), Nats);

        yield return More("ASFT keeps what DFT gains while anchored", "accuracy: DFT less SFT", results.Difference(dft, sft, run => run.Accuracy), Points);
        yield return NoLess("", $"accuracy: {name} less DFT", results.Difference(asft, dft, run => run.Accuracy));
        yield return NoLess("", $"accuracy in the other domains: {name} less DFT", results.Difference(asft, dft, run => run.Kept));
        yield return More("", $"accuracy: {name} less k3", results.Difference(asft, Is("DFT, k3", weight), run => run.Accuracy), Points);

        Func<StudyRun, bool> forward = Is(Forward);
        Func<StudyRun, bool> reverse = Is("ASFT reverse");
        yield return More("Forward beats reverse", "accuracy, mean of the weights", results.Difference(forward, reverse, run => run.Accuracy), Points);
        yield return More("", "accuracy in the other domains", results.Difference(forward, reverse, run => run.Kept), Points);

        if (settings.KlWeights.Count > 1)
        {
            yield return Sharp(results, settings);
        }

        foreach (string method in (string[])["DFT", Forward])
        {
            double[] ratios = results.StepRatios(Is(method));
            yield return new StudyClaim(
                method == "DFT" ? "Overhead over SFT" : "",
                method == "DFT" ? "time of a step: DFT / SFT" : "time of a step: ASFT / SFT, a frozen copy as the reference",
                Invariant($"{ratios.Average():F2} ± {PairedTest.Spread(ratios):F2} times"),
                "measured");
        }
    }

    private static Func<StudyRun, bool> Is(string method) => run => run.Method == method;

    private static Func<StudyRun, bool> Is(string method, double weight) => run => (run.Method, run.KlWeight) == (method, weight);

    private static StudyClaim More(string claim, string comparison, PairedTest test, Func<PairedTest, string> numbers) =>
        new(claim, comparison, numbers(test), !test.Significant ? Open : test.Mean > 0 ? Confirmed : Contradicted);

    /// <summary>Confirmed where the interval reaches no further down than what does not matter.</summary>
    private static StudyClaim NoLess(string claim, string comparison, PairedTest test) => new(
        claim, comparison, Points(test), test.Mean - test.Half > -Margin ? Confirmed : test.Significant && test.Mean < 0 ? Contradicted : Open);

    private static StudyClaim Sharp(StudyResults results, StudySettings settings)
    {
        double[] best = [.. settings.KlWeights.OrderByDescending(weight => results.BySeed(Is(Forward, weight), run => run.Accuracy).Average()).Take(2)];
        PairedTest test = results.Difference(Is(Forward, best[0]), Is(Forward, best[1]), run => run.Accuracy);
        return new StudyClaim(
            "The best KL weight is sharply defined",
            Invariant($"accuracy of ASFT forward: weight {best[0]}, the best, less {best[1]}, the next"),
            Points(test),
            test.Significant ? Confirmed : test.Mean + test.Half < Margin ? Contradicted : Open);
    }

    private static string Nats(PairedTest test) => Invariant($"{test.Mean:+0.000;-0.000} ± {test.Half:F3} nats, p = {test.P:F3}");

    private static string Points(PairedTest test) => Invariant($"{100 * test.Mean:+0.0;-0.0} ± {100 * test.Half:F1} points, p = {test.P:F3}");
}
