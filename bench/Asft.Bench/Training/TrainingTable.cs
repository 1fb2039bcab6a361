using System.Globalization;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Spectre.Console;
using static TorchSharp.torch;

namespace Asft.Bench.Training;

/// <summary>What whole training steps promise: the cost of the anchor, and what the loss saves of a step's time and memory.</summary>
internal static class TrainingTable
{
    private static readonly double[] s_ignored = [0.5, 0];

    /// <summary>Measures the steps in float32, and what they are part of: loading a checkpoint, and the training command.</summary>
    /// <param name="rounds">Timed rounds per problem.</param>
    public static FigureSet Measure(int rounds) => Measure(ScalarType.Float32, progress =>
    {
        List<Figure> figures = Steps(progress, ScalarType.Float32, rounds);
        ProgressTask loading = progress.AddTask("loading", maxValue: 1);
        figures.AddRange(Loading(rounds));
        loading.Increment(1);
        ProgressTask running = progress.AddTask("train", maxValue: 1);
        figures.Add(Running(steps: rounds > 2 ? 50 : 5));
        running.Increment(1);
        return figures;
    });

    /// <summary>Measures the steps in bfloat16, which take half a minute each where a processor has no unit for its products.</summary>
    /// <param name="rounds">Timed rounds per problem.</param>
    public static FigureSet MeasureBFloat16(int rounds) => Measure(ScalarType.BFloat16, progress => Steps(progress, ScalarType.BFloat16, rounds));

    private static FigureSet Measure(ScalarType type, Func<ProgressContext, List<Figure>> figures) => new(
        $"Training steps of 24.9 M parameters in {Name(type)}, V 32,000, 2 x 512 tokens: medians of interleaved runs",
        AnsiConsole.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new RemainingTimeColumn()).Start(figures));

    private static List<Figure> Steps(ProgressContext progress, ScalarType type, int rounds)
    {
        List<Figure> figures = [];
        foreach (double ignored in s_ignored)
        {
            string size = $"{Name(type)}, {(ignored > 0 ? "half ignored" : "all counted")}";
            ProgressTask task = progress.AddTask(size, maxValue: rounds + 2);
            using var problem = new TrainingProblem(type, ignored);
            figures.AddRange(Times(size, ignored > 0, Interleaved.Medians(problem.Cases, rounds, () => task.Increment(1))));
            figures.AddRange(Memory(size, problem));
        }

        return figures;
    }

    private static string Name(ScalarType type) => type.ToString().ToLowerInvariant();

    private static IEnumerable<Figure> Times(string size, bool half, IReadOnlyDictionary<string, double> median)
    {
        Figure Ratio(string over, string under, double must, double aim) =>
            Figure.AtMost($"{over} against {under}", size, median[over] / median[under], must, aim, " x its time");

        Figure Plain(string over, string under) => Figure.Plain(
            $"{over} against {under}", size, (median[over] / median[under]).ToString("0.00", CultureInfo.InvariantCulture) + " x its time");

        const string Asft = TrainingProblem.AsftAsft;
        yield return Figure.Plain(Asft, size, median[Asft].ToString("0.000", CultureInfo.InvariantCulture) + " s");
        yield return Ratio(Asft, TrainingProblem.AsftSft, 1.24, 1.12);
        yield return half ? Ratio(Asft, TrainingProblem.ComposedAsft, 0.55, 0.45) : Plain(Asft, TrainingProblem.ComposedAsft);
        yield return half ? Ratio(Asft, TrainingProblem.ComposedSft, 0.85, 0.7) : Plain(Asft, TrainingProblem.ComposedSft);
    }

    private static IEnumerable<Figure> Memory(string size, TrainingProblem problem)
    {
        double composed = problem.PeakMemory(TrainingProblem.ComposedAsft);
        double asft = problem.PeakMemory(TrainingProblem.AsftAsft);
        yield return Figure.Plain("peak memory of ASFT composed", size, (composed / 1e6).ToString("0", CultureInfo.InvariantCulture) + " MB");
        yield return Figure.AtMost("peak memory of ASFT with Asft against composed", size, asft / composed, 0.4, 0.3, " x");
    }

    private static IEnumerable<Figure> Loading(int rounds)
    {
        using var problem = new LoadingProblem();
        string size = $"{problem.Bytes / 1e6:F0} MB";
        yield return Figure.AtMost("loading a checkpoint", size, problem.Seconds(rounds), 0.5, 0.2, " s");
        yield return Figure.AtMost("peak memory of loading it", size, problem.PeakMemory() / (double)problem.Bytes, 1.1, 1.05, " x its size");
    }

    /// <summary>Without logs before and after, as nothing can be interleaved here.</summary>
    private static Figure Running(int steps)
    {
        using var problem = new RunProblem();
        double before = problem.Seconds(steps, logs: false);
        double train = problem.Seconds(steps, logs: true);
        double after = problem.Seconds(steps, logs: false);
        return Figure.AtLeast("tokens/s of train against those without log and saving", $"{steps} steps", (before + after) / 2 / train, 0.97, 0.99, " x");
    }
}
