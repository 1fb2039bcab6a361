using Asft.Bench.Fitting;
using Asft.Bench.Report.Plots;
using Asft.Bench.Results;

namespace Asft.Bench.Report.Sections;

/// <summary>How time grows with N, V, counted labels and threads: exponents of fitted power laws.</summary>
internal static class ScalingSection
{
    private static readonly ScalingAxis[] s_axes =
    [
        new("tokens", "tokens N", p => p.Shape.Tokens),
        new("vocabulary", "vocabulary V", p => p.Shape.Vocabulary),
        new("ignored", "counted labels, %", p => 100 * (1 - p.Shape.Ignored)),
        new("threads", "threads", p => p.Shape.Threads),
    ];

    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "Scaling");
        (ScalingAxis Axis, ResultSet Set)[] measured =
            [.. s_axes.Select(axis => (axis, data.Find(axis.Name))).Where(pair => pair.Item2 is not null).Select(pair => (pair.axis, pair.Item2!))];
        if (measured.Length == 0)
        {
            page.Paragraph("Not measured.");
            return;
        }

        page.Image(
            plots.Save("scaling", [.. measured.Select(pair => Panel(pair.Axis, pair.Set))]),
            "Time against tokens, vocabulary, counted labels and threads, both axes logarithmic, with the exponents of fitted power laws");
        page.Paragraph(
            "Exponents k of `time ∝ x^k`, least squares of the logarithms, forward and backward; 1 is proportional, 0 is indifferent, -1 is what perfect scaling over "
            + "threads would be. In brackets R², where there are more than two points.");
        page.Table(
            1,
            ["time against", "from ... to", .. Implementation.All.Select(i => i.Name)],
            measured.Select(pair => Row(pair.Axis, pair.Set)));
        page.Paragraph("The first two are of the tables above; the other two, with all times:");
        foreach ((string name, string key, Func<Problems.LossShape, string> label) in new (string, string, Func<Problems.LossShape, string>)[]
        {
            ("ignored", "share ignored", shape => Numbers.Three(shape.Ignored)),
            ("threads", "threads", shape => Numbers.Whole(shape.Threads)),
        })
        {
            if (data.Find(name) is { } set)
            {
                LossTable.Write(page, set, key, label);
            }
        }
    }

    private static IReadOnlyList<string> Row(ScalingAxis axis, ResultSet set)
    {
        ProblemResults[] problems = Cpu(set);
        return
        [
            axis.Title,
            $"{Numbers.Whole(problems.Min(axis.X))} ... {Numbers.Whole(problems.Max(axis.X))}",
            .. Implementation.All.Select(i => Exponent(Points(axis, problems, i))),
        ];
    }

    private static string Exponent(IReadOnlyList<(double X, double Y)> points)
    {
        if (points.Select(point => point.X).Distinct().Count() < 2)
        {
            return "-";
        }

        PowerFit fit = PowerFit.Of(points);
        string exponent = fit.Exponent.ToString("0.00", System.Globalization.CultureInfo.InvariantCulture);
        return fit.Points > 2 ? $"{exponent} ({fit.RSquared.ToString("0.000", System.Globalization.CultureInfo.InvariantCulture)})" : exponent;
    }

    private static ScottPlot.Plot Panel(ScalingAxis axis, ResultSet set)
    {
        ProblemResults[] problems = Cpu(set);
        Implementation[] shown = [.. Implementation.All.Where(i => i != Implementation.CrossEntropy)];
        return LinePlot.Draw(
            PlotStyle.Create($"Time against {axis.Title}", axis.Title, "milliseconds"),
            shown.Select(i => (i, Points(axis, problems, i))),
            legend: (i, points) => $"{i.Name}: k = {Exponent(points).Split(' ')[0]}");
    }

    private static ProblemResults[] Cpu(ResultSet set) => [.. ProblemResults.Of(set).Where(problem => problem.Shape.Device == "cpu")];

    private static IReadOnlyList<(double X, double Y)> Points(ScalingAxis axis, ProblemResults[] problems, Implementation implementation) =>
        [.. VocabularySection.Points(problems, axis.X, p => p.Seconds(implementation.Benchmark) * 1e3).OrderBy(point => point.X)];

    private sealed record ScalingAxis(string Name, string Title, Func<ProblemResults, double> X);
}
