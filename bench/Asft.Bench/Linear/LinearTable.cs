using System.Globalization;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Asft.Interop;
using static TorchSharp.torch;

namespace Asft.Bench.Linear;

/// <summary>
/// The figures that the loss on hidden states promises, measured in one run: what must be, what is aimed at, what was found.
/// </summary>
public static class LinearTable
{
    private const long Width = 512;
    private const long Vocabulary = 32000;
    private const int Threads = 2;

    /// <summary>Measures.</summary>
    /// <param name="rounds">Timed rounds.</param>
    public static FigureSet Measure(int rounds)
    {
        using (var small = new LinearWorkload(8, 16, 64, Threads, composed: true))
        {
            _ = Interleaved.Medians(small.Cases, rounds: 1); // compiles the code, so that its memory is not counted as the loss's
        }

        List<Figure> figures = [];
        using (var workload = new LinearWorkload(2048, Width, Vocabulary, Threads, composed: true))
        {
            double fused = workload.PeakMemory(LinearWorkload.Fused);
            double composed = workload.PeakMemory(LinearWorkload.Composed);
            IReadOnlyDictionary<string, double> median = Interleaved.Medians(workload.Cases, rounds);
            figures.Add(Memory(workload, fused));
            figures.Add(Figure.AtMost(
                "the same with 28 MiB of workspace", workload.Size, workload.PeakMemory(LinearWorkload.FusedSmall) / 1e6, 96, 32, " MB"));
            figures.Add(Figure.Plain("peak extra memory, composed", workload.Size, Number(composed / 1e6) + " MB"));
            figures.Add(Figure.AtLeast("peak memory against composed", workload.Size, composed / fused, 10, 30, " x smaller"));
            figures.AddRange(Times(workload.Size, median));
            figures.AddRange(Errors(workload));
        }

        using (var large = new LinearWorkload(8192, Width, Vocabulary, Threads, composed: false))
        {
            figures.Add(Memory(large, large.PeakMemory(LinearWorkload.Fused)));
        }

        if (BFloat16Units.AreThere)
        {
            using var half = new LinearWorkload(2048, Width, Vocabulary, Threads, composed: true, ScalarType.BFloat16);
            figures.AddRange(TimesInBFloat16(half.Size + ", bfloat16", Interleaved.Medians(half.Cases, rounds)));
        }
        else
        {
            // Torch's products take minutes then, and say nothing about processors that have such units.
            figures.Add(Figure.Plain("times in bfloat16", "-", "not measured: this processor, or this libtorch, multiplies no bfloat16"));
        }

        figures.Add(UndisposedTraining.Peak());
        return new FigureSet($"Linear loss: medians of interleaved runs, {Threads} threads, float32 unless named otherwise", figures);
    }

    private static IEnumerable<Figure> TimesInBFloat16(string size, IReadOnlyDictionary<string, double> median)
    {
        Figure Ratio(string name, string fused, string peer, double must, double aim) =>
            Figure.AtMost(name, size, median[fused] / median[peer], must, aim, " x its time");
        yield return Ratio("time against its four matrix products", LinearWorkload.Fused, LinearWorkload.Products, 1.25, 1.1);
        yield return Ratio("time against composed", LinearWorkload.Fused, LinearWorkload.Composed, 0.5, 0.4);
        yield return Ratio("SFT, time against composed", LinearWorkload.FusedSft, LinearWorkload.ComposedSft, 0.8, 0.65);
        yield return Figure.Plain(
            "the same with half of the labels ignored",
            size,
            Number(median[LinearWorkload.FusedSftHalf] / median[LinearWorkload.ComposedSftHalf]) + " x its time");
    }

    private static Figure Memory(LinearWorkload workload, double bytes) =>
        Figure.AtMost("peak extra memory, beyond inputs and gradients", workload.Size, bytes / 1e6, 96, 32, " MB");

    private static IEnumerable<Figure> Times(string size, IReadOnlyDictionary<string, double> median)
    {
        double fused = median[LinearWorkload.Fused];
        double composed = median[LinearWorkload.Composed];
        double products = median[LinearWorkload.Products];
        yield return Figure.Plain("time, composed", size, Number(composed) + " s");
        double small = median[LinearWorkload.FusedSmall];
        yield return Figure.AtMost("time against composed", size, fused / composed, 0.6, products * 1.1 / composed, " x its time");
        yield return Figure.AtMost("time against composed, 28 MiB of workspace", size, small / composed, 0.6, products * 1.1 / composed, " x its time");
        yield return new Figure(
            "time against its four matrix products", size, "-", "1.10 x", Number(fused / products) + " x", true, fused <= products * 1.1);
        yield return Figure.AtMost("75 % of labels ignored, against none", size, median[LinearWorkload.FusedIgnoring] / fused, 0.32, 0.27, " x its time");
        yield return Figure.AtMost("frozen head against full gradients", size, median[LinearWorkload.FusedFrozen] / fused, 0.8, 0.8, " x its time");
    }

    private static IEnumerable<Figure> Errors(LinearWorkload workload)
    {
        (double loss, double hidden, double weight) = workload.Errors(LinearWorkload.Fused);
        yield return Error("loss", workload.Size, loss, 1e-6);
        yield return Error("d hidden", workload.Size, hidden, 5e-6);
        yield return Error("d weight", workload.Size, weight, 5e-6);
        (double _, double composedHidden, double composedWeight) = workload.Errors(LinearWorkload.Composed);
        yield return Figure.Plain(
            "the same of composed in float32, d hidden and d weight",
            workload.Size,
            $"{Scientific(composedHidden)}, {Scientific(composedWeight)}");
    }

    private static Figure Error(string name, string size, double measured, double must) => new(
        $"error of {name} against composed in float64, in norm", size, Scientific(must), "-", Scientific(measured), measured <= must, measured <= must);

    private static string Number(double value) => value.ToString(value < 10 ? "0.00" : "0.0", CultureInfo.InvariantCulture);

    private static string Scientific(double value) => value.ToString("0.0e-0", CultureInfo.InvariantCulture);
}
