using System.Globalization;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Asft.Bench.Problems;
using Spectre.Console;
using static TorchSharp.torch;

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
        using (var small = new FoundationProblem(4, 64))
        {
            _ = Interleaved.Medians(small.Cases, rounds: 1); // compiles the code, so that its memory is not counted as the loss's
        }

        AnsiConsole.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new RemainingTimeColumn()).Start(progress =>
        {
            foreach ((long rows, long vocabulary) in s_sizes)
            {
                ProgressTask task = progress.AddTask($"[[{rows}, {vocabulary}]] float32", maxValue: rounds + 2);
                using var problem = new FoundationProblem(rows, vocabulary);
                IReadOnlyList<Figure> memory = [.. Memory(problem)];
                IReadOnlyDictionary<string, double> median = Interleaved.Medians(problem.Cases, rounds, () => task.Increment(1));
                figures.AddRange(Times(problem.Size, median));
                figures.AddRange(ConsecutiveSteps.Times(problem.Full, problem.Size, median[nameof(LossProblem.Composed)]));
                figures.AddRange(memory);
            }

            ProgressTask steps = progress.AddTask("10,000 training steps", maxValue: 1);
            figures.AddRange(TrainingSteps.Growth(10_000));
            steps.Increment(1);
        });

        return new FigureSet("Foundation figures: medians of interleaved runs, 2 threads", figures);
    }

    private static IEnumerable<Figure> Times(string size, IReadOnlyDictionary<string, double> median)
    {
        Figure AtLeast(string name, string slow, string fast, double must, double aim) =>
            Figure.AtLeast(name, size, median[slow] / median[fast], must, aim, " x faster");

        Figure AtMost(string name, string over, string under, double must, double aim) =>
            Figure.AtMost(name, size, median[over] / median[under], must, aim, " x its time");

        const string Default = nameof(LossProblem.Fused);
        const string InPlace = nameof(LossProblem.FusedInPlace);
        yield return AtLeast("inPlace forward+backward against composed", nameof(LossProblem.Composed), InPlace, 25, 40);
        yield return AtLeast("default forward+backward against composed", nameof(LossProblem.Composed), Default, 10, 25);
        yield return Figure.Plain(
            "inPlace forward+backward against tuned torch operations",
            size,
            (median[nameof(LossProblem.Tuned)] / median[InPlace]).ToString("0.00", CultureInfo.InvariantCulture) + " x faster");
        yield return AtLeast("inPlace against F.cross_entropy, forward+backward", nameof(LossProblem.CrossEntropy), InPlace, 4, 6);
        yield return AtMost("inPlace forward+backward against triad", InPlace, nameof(LossProblem.Triad), 2.6, 1.75);
        yield return AtLeast("bfloat16 inPlace against float32 inPlace", InPlace, FoundationProblem.InPlaceBFloat16, 1, 1.5);
        yield return AtMost("forward only (no_grad) against triad", nameof(LossProblem.FusedForward), nameof(LossProblem.Triad), 1.6, 1.1);
        yield return AtMost("inPlace, 75 % of labels ignored, against none", FoundationProblem.InPlaceIgnoring, InPlace, 0.45, 0.35);
    }

    private static IEnumerable<Figure> Memory(FoundationProblem problem)
    {
        LossProblem full = problem.Full;
        double tensor = full.TensorBytes;
        yield return Figure.AtMost("peak extra memory, default", problem.Size, full.PeakMemory(full.Fused) / tensor, 1.05, 1.05, " x [N, V]");
        yield return Figure.AtMost("peak extra memory, inPlace", problem.Size, full.PeakMemory(full.FusedInPlace) / 1e6, 8, 8, " MB");
        double composed = full.PeakMemory(full.Composed) / tensor;
        yield return Figure.Plain(
            "peak extra memory, composed", problem.Size, composed.ToString("0.00", CultureInfo.InvariantCulture) + " x [N, V]");
    }

    /// <summary>What the figures compare: ASFT in float32, the same with most labels ignored, and in bfloat16. Every buffer has been touched before.</summary>
    private sealed class FoundationProblem : IDisposable
    {
        public const string InPlaceBFloat16 = "in place, bfloat16";
        public const string InPlaceIgnoring = "in place, 75 % ignored";

        private readonly LossProblem _ignoring;
        private readonly LossProblem _half;

        public FoundationProblem(long rows, long vocabulary)
        {
            LossShape shape = new(BenchObjective.AsftForward, ScalarType.Float32, vocabulary, rows, Ignored: 0, Threads: 2, "cpu");
            Size = $"[{rows}, {vocabulary}]";
            Full = new LossProblem(shape);
            _ignoring = new LossProblem(shape with { Ignored = 0.75 });
            _half = new LossProblem(shape with { Type = ScalarType.BFloat16 });
            Cases =
            [
                new(nameof(Full.Triad), Full.Triad),
                new(nameof(Full.Composed), Full.Composed, Full.Restore),
                new(nameof(Full.Tuned), Full.Tuned, Full.Restore),
                new(nameof(Full.CrossEntropy), Full.CrossEntropy, Full.Restore),
                new(nameof(Full.Fused), Full.Fused, Full.Restore),
                new(nameof(Full.FusedInPlace), Full.FusedInPlace, Full.Restore),
                new(InPlaceIgnoring, _ignoring.FusedInPlace, _ignoring.Restore),
                new(InPlaceBFloat16, _half.FusedInPlace, _half.Restore),
                new(nameof(Full.FusedForward), Full.FusedForward, Full.Restore),
            ];
        }

        public string Size { get; }

        public LossProblem Full { get; }

        public IReadOnlyList<TimedCase> Cases { get; }

        public void Dispose()
        {
            Full.Dispose();
            _ignoring.Dispose();
            _half.Dispose();
        }
    }
}
