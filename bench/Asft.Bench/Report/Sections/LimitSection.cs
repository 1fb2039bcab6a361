using Asft.Bench.Benchmarks;
using Asft.Bench.Problems;
using Asft.Bench.Report.Plots;

namespace Asft.Bench.Report.Sections;

/// <summary>How much of what the memory can do each implementation makes use of.</summary>
internal static class LimitSection
{
    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "Distance to the memory's limit");
        ProblemResults? problem = data.Find("tokens") is { } set
            ? ProblemResults.Of(set).Where(p => p.Shape.Device == "cpu" && p.Shape.Tokens <= LossAxes.Centre.Tokens).MaxBy(p => p.Shape.Tokens)
            : null;
        if (problem?.BytesPerSecond(Implementation.Triad, backward: true) is not { } limit)
        {
            page.Paragraph("Not measured.");
            return;
        }

        LossShape shape = problem.Shape;
        Implementation[] shown = [.. Implementation.All.Where(i => i != Implementation.Triad && i != Implementation.CrossEntropy)];
        double Share(Implementation i, bool backward) => 100 * problem.BytesPerSecond(i, backward) / limit ?? double.NaN;
        string size = $"{shape.Objective.Title()}, [{Numbers.Whole(shape.Tokens)}, {Numbers.Whole(shape.Vocabulary)}] float32";
        page.Image(
            plots.Save(
                "memory-limit",
                BarPlot.Draw(
                    PlotStyle.Create($"Useful traffic; {size}", string.Empty, "% of the triad's bytes per second"),
                    [.. shown.Select(i => i.Name)],
                    [
                        ("forward and backward", "#D55E00", [.. shown.Select(i => Share(i, backward: true))]),
                        ("forward alone", "#0072B2", [.. shown.Select(i => Share(i, backward: false))]),
                    ])),
            $"Useful traffic of each implementation as a share of the triad's; {size}");
        page.Paragraph(
            $"The triad moves {Numbers.Three(limit / 1e9)} GB/s here. Useful are the bytes that no implementation can do without: each counted row of logits and of "
            + "reference logits read once and, for the gradient, every row written once. More than 100 % is possible: reading alone is faster than reading "
            + "and writing, and in place the line to be written is in the cache already, while the triad's must be fetched first. "
            + "The times are those of the table above.");
    }
}
