using Asft.Bench.Problems;
using Asft.Bench.Report.Plots;

namespace Asft.Bench.Report.Sections;

/// <summary>Memory, and speed, against the number of tokens.</summary>
internal static class MemorySection
{
    private const double Floor = 0.1;

    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "Memory against tokens");
        if (data.Find("tokens") is not { } set)
        {
            page.Paragraph("Not measured.");
            return;
        }

        ProblemResults[] cpu = [.. ProblemResults.Of(set).Where(problem => problem.Shape.Device == "cpu")];
        LossShape shape = cpu[0].Shape;
        string title = $"{shape.Objective.Title()}, V = {Numbers.Whole(shape.Vocabulary)}, float32, forward and backward";
        Implementation[] measured = [.. Implementation.All.Where(i => i != Implementation.Triad)];
        page.Image(
            plots.Save(
                "memory-tokens",
                LinePlot.Draw(
                    PlotStyle.Create(title, "tokens N", "peak extra memory, MB"),
                    measured.Select(i => (i, VocabularySection.Points(cpu, p => p.Shape.Tokens, p => p.Peak(i.Benchmark) / 1e6))),
                    Floor)),
            $"Peak memory beyond the inputs against tokens; {title}. What is less than 0.1 MB is drawn at 0.1 MB");
        page.Paragraph(
            "Peak of the process's resident memory during a run, beyond what was resident before it with the inputs in place: native and managed together, "
            + "as the kernel counts it. MB:");
        page.Table(
            1,
            ["N", "one [N, V] tensor", .. measured.Select(i => i.Name)],
            cpu.Select(problem => (IReadOnlyList<string>)
            [
                Numbers.Whole(problem.Shape.Tokens),
                Numbers.Megabytes(problem.Shape.TensorBytes),
                .. measured.Select(i => Numbers.Megabytes(problem.Peak(i.Benchmark))),
            ]));
        page.Paragraph(
            "In place keeps, from one call to the next, up to three rows per thread; they were there before these runs. Tuned torch holds three buffers of 4 MB at a time; "
            + "what it takes beyond that is how the C library's heap happens to serve it.");
        LossTable.Write(page, set, "N", s => Numbers.Whole(s.Tokens));
    }
}
