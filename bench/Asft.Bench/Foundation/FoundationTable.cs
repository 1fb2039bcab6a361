using System.Globalization;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Spectre.Console;

namespace Asft.Bench.Foundation;

/// <summary>The figures that the loss on logits promises, measured in one run: what must be, what is aimed at, what was found.</summary>
public static class FoundationTable
{
    private static readonly (long Rows, long Vocabulary)[] s_sizes = [(1024, 32000), (256, 151936)];

    /// <summary>Measures.</summary>
    /// <param name="rounds">Timed rounds per size.</param>
    public static FigureSet Measure(int rounds)
    {
        List<Figure> figures = [];
        using (var small = new LossWorkload(4, 64, threads: 2))
        {
            _ = Interleaved.Medians(small.Cases, rounds: 1); // compiles the code, so that its memory is not counted as the loss's
        }

        AnsiConsole.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            foreach ((long rows, long vocabulary) in s_sizes)
            {
                ProgressTask task = progress.AddTask($"[[{rows}, {vocabulary}]] float32", maxValue: rounds + 2);
                using var workload = new LossWorkload(rows, vocabulary, threads: 2);
                IReadOnlyList<Figure> memory = [.. Memory(workload)];
                figures.AddRange(Times(workload, Interleaved.Medians(workload.Cases, rounds, () => task.Increment(1))));
                figures.AddRange(memory);
            }

            ProgressTask steps = progress.AddTask("10,000 training steps", maxValue: 1);
            figures.AddRange(TrainingSteps.Growth(10_000));
            steps.Increment(1);
        });

        return new FigureSet("Foundation figures: medians of interleaved runs, 2 threads", figures);
    }

    private static IEnumerable<Figure> Times(LossWorkload workload, IReadOnlyDictionary<string, double> median)
    {
        Figure AtLeast(string name, string slow, string fast, double must, double aim) =>
            Figure.AtLeast(name, workload.Size, median[slow] / median[fast], must, aim, " x faster");

        Figure AtMost(string name, string over, string under, double must, double aim) =>
            Figure.AtMost(name, workload.Size, median[over] / median[under], must, aim, " x its time");

        yield return AtLeast("inPlace forward+backward against composed", LossWorkload.Composed, LossWorkload.InPlace, 25, 40);
        yield return AtLeast("default forward+backward against composed", LossWorkload.Composed, LossWorkload.Default, 10, 25);
        yield return Figure.Plain(
            "inPlace forward+backward against tuned torch operations",
            workload.Size,
            (median[LossWorkload.Tuned] / median[LossWorkload.InPlace]).ToString("0.00", CultureInfo.InvariantCulture) + " x faster");
        yield return AtLeast("inPlace against F.cross_entropy, forward+backward", LossWorkload.CrossEntropy, LossWorkload.InPlace, 4, 6);
        yield return AtMost("inPlace forward+backward against triad", LossWorkload.InPlace, LossWorkload.Triad, 2.6, 1.75);
        yield return AtLeast("bfloat16 inPlace against float32 inPlace", LossWorkload.InPlace, LossWorkload.InPlaceBFloat16, 1, 1.5);
        yield return AtMost("forward only (no_grad) against triad", LossWorkload.Forward, LossWorkload.Triad, 1.6, 1.1);
        yield return AtMost("inPlace, 75 % of labels ignored, against none", LossWorkload.InPlaceIgnoring, LossWorkload.InPlace, 0.45, 0.35);
    }

    private static IEnumerable<Figure> Memory(LossWorkload workload)
    {
        double tensor = workload.TensorBytes;
        yield return Figure.AtMost(
            "peak extra memory, default", workload.Size, workload.PeakMemory(LossWorkload.Default) / tensor, 1.05, 1.05, " x [N, V]");
        yield return Figure.AtMost(
            "peak extra memory, inPlace", workload.Size, workload.PeakMemory(LossWorkload.InPlace) / 1e6, 8, 8, " MB");
        double composed = workload.PeakMemory(LossWorkload.Composed) / tensor;
        yield return Figure.Plain(
            "peak extra memory, composed", workload.Size, composed.ToString("0.00", CultureInfo.InvariantCulture) + " x [N, V]");
    }
}
