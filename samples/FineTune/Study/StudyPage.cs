using System.Text;
using static System.FormattableString;

namespace FineTune.Study;

/// <summary>The page about the results, in Markdown, from the runs of a whole grid.</summary>
internal static class StudyPage
{
    public static string Of(StudySettings settings, IReadOnlyList<StudyRun> runs)
    {
        var page = new StringBuilder();
        void Line(string text = "") => page.Append(text).Append('\n');

        Line("# The experiment");
        Line();
        Line("Written by `./build.sh finetune experiment`, from its own results; do not edit. It tests on small models what the");
        Line("[ASFT paper](https://arxiv.org/abs/2509.23753) claims of large ones: that a claim is not confirmed here does not refute it there.");
        Line();
        Line(Invariant($"A byte-level transformer of {settings.Shape.Layers} layers, {settings.Shape.Width} wide, is pretrained for {settings.PretrainingSteps} steps on five domains: addition,"));
        Line("mostly of the easy kind, sorting, logic, counting, and the pronunciation of English words (the CMU dictionary). Copies of it are fine-tuned for");
        Line(Invariant($"{settings.Steps} steps of {Training.Batches.Size} demonstrations, of {settings.Demonstrations}, {100 * settings.WrongShare:F0} % of them wrong: an addition with a slip in it, or a word with a wrong phoneme. Measured are the"));
        Line(Invariant($"right answers to {settings.HeldOut} held-out problems of the same domain and {settings.HeldOutOthers} of each other one, by greedy decoding (the final answer of an addition, every"));
        Line("phoneme of a word), and the drift KL(base || model), in nats per token of right responses.");
        Line();
        Line(Invariant($"There are {settings.Seeds} seeds, each with its own base model, demonstrations and problems. \"±\" is the standard deviation over them in the tables of"));
        Line("results, and half the 95 % interval of Student's paired test in those of claims. What is tested are means over the learning rates, so that none is chosen");
        Line(Invariant($"after the fact. A claim is *confirmed* or *contradicted* at p < 0.05; that two accuracies are the same is confirmed where the interval is within {100 * StudyClaims.Margin:F0} points."));
        Line("The p are of single tests: of twenty without a difference, one would fall below 0.05.");
        Line("Times of a step are told by the machine that all of it ran on, whatever else that did meanwhile; [training](training.md#what-it-costs) has such that were measured alone.");
        foreach (string domain in StudyData.TunedDomains)
        {
            var results = new StudyResults(runs, domain);
            StudyRun some = runs.First(run => run.Domain == domain);
            Line();
            Line($"## Fine-tuned on {domain}");
            Line();
            Line(Invariant($"The base models answer {Percent(results.BySeed(run => run.Method == some.Method, run => run.BaseAccuracy))} rightly, and of the other domains {Percent(results.BySeed(run => run.Method == some.Method, run => run.BaseKept))}."));
            Line();
            Claims(Line, results, settings);
            Line();
            Methods(Line, results, settings);
            Line();
            Rates(Line, results, settings);
        }

        return page.ToString();
    }

    private static void Claims(Action<string> line, StudyResults results, StudySettings settings)
    {
        line("| claim | compared | difference | verdict |");
        line("|---|---|---|---|");
        foreach (StudyClaim claim in StudyClaims.Of(results, settings))
        {
            line($"| {claim.Claim} | {claim.Comparison} | {claim.Numbers} | {claim.Verdict} |");
        }
    }

    private static void Methods(Action<string> line, StudyResults results, StudySettings settings)
    {
        line("Means over the learning rates:");
        line("");
        line("| method | weight | right, % | right elsewhere, % | KL | KL elsewhere |");
        line("|---|---|---|---|---|---|");
        foreach (Method method in settings.Methods)
        {
            double[] Values(Func<StudyRun, double> value) => results.BySeed(run => IsOf(run, method), value);
            line(
                $"| {method.Name} | {Weight(method)} | {Percent(Values(run => run.Accuracy))} | {Percent(Values(run => run.Kept))} "
                + $"| {Nats(Values(run => run.Drift))} | {Nats(Values(run => run.DriftElsewhere))} |");
        }
    }

    private static void Rates(Action<string> line, StudyResults results, StudySettings settings)
    {
        line("By learning rate, the share of right answers in % and the KL in the domain:");
        line("");
        line($"| method | weight |{string.Concat(settings.LearningRates.Select(rate => Invariant($" {rate} | KL |")))}");
        line($"|---|---|{string.Concat(settings.LearningRates.Select(_ => "---|---|"))}");
        foreach (Method method in settings.Methods)
        {
            IEnumerable<string> cells = settings.LearningRates.Select(rate =>
            {
                double[] Values(Func<StudyRun, double> value) => results.BySeed(run => IsOf(run, method) && run.LearningRate == rate, value);
                return $" {Percent(Values(run => run.Accuracy))} | {Nats(Values(run => run.Drift))} |";
            });
            line($"| {method.Name} | {Weight(method)} |{string.Concat(cells)}");
        }
    }

    private static bool IsOf(StudyRun run, Method method) => (run.Method, run.KlWeight) == (method.Name, method.KlWeight);

    private static string Weight(Method method) => method.KlWeight > 0 ? Invariant($"{method.KlWeight}") : "";

    private static string Percent(double[] values) => Invariant($"{100 * values.Average():F1} ± {100 * PairedTest.Spread(values):F1}");

    private static string Nats(double[] values) => Invariant($"{values.Average():F3} ± {PairedTest.Spread(values):F3}");
}
