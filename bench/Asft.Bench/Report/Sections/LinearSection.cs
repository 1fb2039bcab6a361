using Asft.Bench.Benchmarks;
using Asft.Bench.Report.Plots;
using Asft.Bench.Results;

namespace Asft.Bench.Report.Sections;

/// <summary>The loss from hidden states.</summary>
internal static class LinearSection
{
    private static readonly Implementation s_products = new("Linear." + nameof(LinearBenchmarks.Products), null, "the four matrix products alone", "#000000", ScottPlot.MarkerShape.OpenCircle);
    private static readonly Implementation s_composed = new("Linear." + nameof(LinearBenchmarks.Composed), null, "composed", "#999999", ScottPlot.MarkerShape.FilledSquare);
    private static readonly Implementation s_fused = new("Linear." + nameof(LinearBenchmarks.Fused), null, "linear_asft_loss", "#D55E00", ScottPlot.MarkerShape.FilledCircle);
    private static readonly Implementation s_frozen = new("Linear." + nameof(LinearBenchmarks.FusedFrozenHead), null, "frozen head", "#0072B2", ScottPlot.MarkerShape.FilledDiamond);
    private static readonly Implementation s_ignoring = new("Linear." + nameof(LinearBenchmarks.FusedIgnoring), null, "75 % ignored", "#56B4E9", ScottPlot.MarkerShape.FilledTriangleUp);

    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "From hidden states");
        if (data.Find("linear") is { Table: { } table } figures)
        {
            page.Figures(table);
            page.Command(figures.Command);
        }

        if (data.Find(ReportPlan.LinearScaling) is not { } set)
        {
            return;
        }

        Implementation[] all = [s_composed, s_fused, s_frozen, s_ignoring, s_products];
        long[] tokens = [.. set.Measurements.Select(m => m.Tokens).Distinct().Order()];
        Measurement? Find(Implementation i, long n) => set.Measurements.FirstOrDefault(m => m.Benchmark == i.Benchmark && m.Tokens == n);
        IReadOnlyList<(double X, double Y)> Points(Implementation i, Func<Measurement, double?> value) =>
            [.. tokens.Select(n => (n, Find(i, n))).Where(p => p.Item2 is { } m && value(m) is not null).Select(p => ((double)p.n, value(p.Item2!)!.Value))];
        page.Image(
            plots.Save(
                "linear",
                LinePlot.Draw(PlotStyle.Create("Loss from hidden states: time", "tokens N", "milliseconds"), all.Select(i => (i, Points(i, m => m.Seconds * 1e3)))),
                LinePlot.Draw(
                    PlotStyle.Create("Loss from hidden states: memory", "tokens N", "peak extra memory, MB"),
                    all.Where(i => i != s_products).Select(i => (i, Points(i, m => m.PeakBytes / 1e6))))),
            "Time and peak memory of the loss from hidden states against tokens");
        page.Paragraph(
            "d = 512, V = 32,000, float32; gradients of hidden states and weight are part of the memory here. Milliseconds, and MB in brackets:");
        page.Table(
            1,
            ["N", .. all.Select(i => i.Name), "composed / linear_asft_loss", "it / products"],
            tokens.Select(n => (IReadOnlyList<string>)
            [
                Numbers.Whole(n),
                .. all.Select(i => Find(i, n) is { } m ? $"{Numbers.Milliseconds(m.Seconds)} ({Numbers.Megabytes(m.PeakBytes)})" : "-"),
                Numbers.Times(Find(s_composed, n)?.Seconds / Find(s_fused, n)?.Seconds),
                Numbers.Times(Find(s_fused, n)?.Seconds / Find(s_products, n)?.Seconds),
            ]));
        page.Command(set.Command);
    }
}
