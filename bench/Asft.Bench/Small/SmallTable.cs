using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Spectre.Console;

namespace Asft.Bench.Small;

/// <summary>
/// The figures of small losses, in which what is done once for each call and for each row is most of the work: what must be, what is aimed at, what
/// was found.
/// </summary>
public static class SmallTable
{
    private const int Threads = 2;

    private static readonly (long Rows, long Vocabulary)[] s_sizes =
        [(16, 4), (16, 65), (128, 10), (256, 65), (1024, 65), (64, 1000), (1024, 1000), (16384, 65)];

    private static readonly (long Rows, long Vocabulary)[] s_metrics = [(1024, 1000), (16384, 65), (2048, 13000)];

    /// <summary>Measures.</summary>
    /// <param name="rounds">Timed rounds per size.</param>
    public static FigureSet Measure(int rounds)
    {
        List<Figure> figures = [];
        AnsiConsole.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            foreach ((long rows, long vocabulary) in s_sizes)
            {
                ProgressTask task = progress.AddTask($"[[{rows}, {vocabulary}]]", maxValue: rounds + 2);
                using var problem = new SmallProblem(rows, vocabulary, Threads);
                IReadOnlyDictionary<string, double> median = Interleaved.Medians(problem.Losses, rounds, () => task.Increment(1));
                figures.Add(AtMost(median, problem.Size, SmallProblem.Sft, SmallProblem.CrossEntropy, 1, 0.7));
                figures.Add(AtMost(median, problem.Size, SmallProblem.SftForward, SmallProblem.CrossEntropyForward, 1, 0.6));
                figures.Add(AtMost(median, problem.Size, SmallProblem.Asft, SmallProblem.ComposedAsft, 0.6, 0.4));
            }

            foreach ((long rows, long vocabulary) in s_metrics)
            {
                ProgressTask task = progress.AddTask($"[[{rows}, {vocabulary}]], metrics", maxValue: rounds + 2);
                using var problem = new SmallProblem(rows, vocabulary, Threads);
                IReadOnlyDictionary<string, double> median = Interleaved.Medians(problem.Metrics, rounds, () => task.Increment(1));
                figures.Add(AtMost(median, problem.Size, SmallProblem.SftMetrics, SmallProblem.Sft, 1.1, 1.03));
                figures.Add(AtMost(median, problem.Size, SmallProblem.AsftMetrics, SmallProblem.Asft, 1.1, 1.03));
            }
        });

        return new FigureSet($"Small losses: medians of interleaved runs, {Threads} threads, float32, not in place", figures);
    }

    private static Figure AtMost(IReadOnlyDictionary<string, double> median, string size, string over, string under, double must, double aim) =>
        Figure.AtMost($"{over} against {under}", size, median[over] / median[under], must, aim, " x its time");
}
