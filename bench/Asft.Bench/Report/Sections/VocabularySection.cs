using Asft.Bench.Problems;
using Asft.Bench.Report.Plots;

namespace Asft.Bench.Report.Sections;

/// <summary>Speed against the size of the vocabulary.</summary>
internal static class VocabularySection
{
    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "Speed against vocabulary");
        if (data.Find("vocabulary") is not { } set)
        {
            page.Paragraph("Not measured.");
            return;
        }

        ProblemResults[] cpu = [.. ProblemResults.Of(set).Where(problem => problem.Shape.Device == "cpu")];
        LossShape shape = cpu[0].Shape;
        string title = $"{shape.Objective.Title()}, {Numbers.Whole(shape.Tokens)} tokens, float32, forward and backward";
        page.Image(
            plots.Save(
                "speed-vocabulary",
                LinePlot.Draw(
                    PlotStyle.Create(title, "vocabulary size V", "milliseconds"),
                    Implementation.All.Select(i => (i, Points(cpu, p => p.Shape.Vocabulary, p => p.Seconds(i.Benchmark) * 1e3))))),
            $"Time against vocabulary size; {title}");
        LossTable.Write(page, set, "V", s => Numbers.Whole(s.Vocabulary));
    }

    /// <summary>Points of a line, where there is a value.</summary>
    public static IReadOnlyList<(double X, double Y)> Points(
        IEnumerable<ProblemResults> problems, Func<ProblemResults, double> x, Func<ProblemResults, double?> y) =>
        [.. problems.Where(problem => y(problem) is not null).Select(problem => (x(problem), y(problem)!.Value))];
}
