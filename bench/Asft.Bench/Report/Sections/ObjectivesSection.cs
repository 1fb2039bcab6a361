using Asft.Bench.Problems;
using Asft.Bench.Report.Plots;
using static TorchSharp.torch;

namespace Asft.Bench.Report.Sections;

/// <summary>Objectives and element types.</summary>
internal static class ObjectivesSection
{
    private static readonly (ScalarType Type, string Colour)[] s_types =
        [(ScalarType.Float32, "#0072B2"), (ScalarType.BFloat16, "#D55E00"), (ScalarType.Float16, "#009E73")];

    public static void Write(Page page, ReportData data, PlotFolder plots)
    {
        page.Heading(2, "Objectives and element types");
        if (data.Find("objectives") is not { } set)
        {
            page.Paragraph("Not measured.");
            return;
        }

        ProblemResults[] cpu = [.. ProblemResults.Of(set).Where(problem => problem.Shape.Device == "cpu")];
        LossShape shape = cpu[0].Shape;
        string size = $"{Numbers.Whole(shape.Tokens)} tokens, V = {Numbers.Whole(shape.Vocabulary)}";
        page.Image(
            plots.Save(
                "objectives",
                Panel(cpu, "asft_loss, in place: time", "milliseconds", p => p.Seconds(Implementation.InPlace.Benchmark) * 1e3),
                Panel(
                    cpu,
                    "Composed, over asft_loss in place",
                    "times as long",
                    p => p.Ratio(Implementation.Composed.Benchmark, Implementation.InPlace.Benchmark))),
            $"Time of asft_loss in place, and how many times as long the composed loss takes, for each objective and element type; {size}");
        page.Paragraph($"Forward and backward at {size}. bfloat16 and float16 have half the bytes, and are computed in float32 all the same.");
        LossTable.Write(page, set, "objective", s => $"{s.Objective.Title()}, {s.Type.ToString().ToLowerInvariant()}");
    }

    private static ScottPlot.Plot Panel(ProblemResults[] problems, string title, string unit, Func<ProblemResults, double?> value)
    {
        BenchObjective[] objectives = [.. problems.Select(p => p.Shape.Objective).Distinct()];
        return BarPlot.Draw(
            PlotStyle.Create(title, string.Empty, unit),
            [.. objectives.Select(objective => objective.Title().Replace(", ", "\n", StringComparison.Ordinal))],
            [
                .. s_types.Select(type => (
                    type.Type.ToString().ToLowerInvariant(),
                    type.Colour,
                    (IReadOnlyList<double>)[.. objectives.Select(objective =>
                        problems.FirstOrDefault(p => p.Shape.Objective == objective && p.Shape.Type == type.Type) is { } found ? value(found) ?? double.NaN : double.NaN)])),
            ]);
    }
}
