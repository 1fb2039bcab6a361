using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Spectre.Console;

namespace Asft.Bench.Objectives;

/// <summary>What the objectives beyond plain ASFT cost against it: what must be, what was found.</summary>
public static class ObjectiveTable
{
    private const int Threads = 2;

    private static readonly (long Rows, long Vocabulary)[] s_sizes = [(1024, 32000), (256, 151936)];

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
                using var problem = new ObjectiveProblem(rows, vocabulary, Threads);
                IReadOnlyDictionary<string, double> median = Interleaved.Medians(problem.Cases, rounds, () => task.Increment(1));
                Add(ObjectiveProblem.Weighted, ObjectiveProblem.Asft, 1.03);
                Add(ObjectiveProblem.General, ObjectiveProblem.Asft, 1.03);
                Add(ObjectiveProblem.Dropped, ObjectiveProblem.Asft, 1.03);
                Add(ObjectiveProblem.Callback, ObjectiveProblem.Asft, 1.6);
                Add(ObjectiveProblem.TopK, ObjectiveProblem.Asft, 0.75);
                Add(ObjectiveProblem.K3, ObjectiveProblem.Sft, 1.05);
                Add(ObjectiveProblem.MetricsEntropy, ObjectiveProblem.Metrics, 1.1);
                figures.Add(Figure.AtMost("peak extra memory, top-k", problem.Size, problem.TopKMemory() / 1e6, 8, 8, " MB"));

                void Add(string over, string under, double must) =>
                    figures.Add(Figure.AtMost($"{over} against {under}", problem.Size, median[over] / median[under], must, must, " x its time"));
            }
        });

        return new FigureSet($"Objectives: medians of interleaved runs, {Threads} threads, float32, in place, forward and backward", figures);
    }
}
