using Asft.Bench.Benchmarks;
using Asft.Bench.Problems;
using Asft.Bench.Results;

namespace Asft.Bench.Report.Sections;

/// <summary>What the page says in four sentences, the least flattering figure among them.</summary>
internal static class SummarySection
{
    public static void Write(Page page, ReportData data)
    {
        ProblemResults[] all =
        [
            .. LossAxes.All.Select(axis => data.Find(axis.Name)).OfType<ResultSet>().SelectMany(ProblemResults.Of).Where(p => p.Shape.Device == "cpu"),
        ];
        ProblemResults? centre = all.Where(p => p.Shape with { Tokens = LossAxes.Centre.Tokens } == LossAxes.Centre).MaxBy(p => Math.Min(p.Shape.Tokens, LossAxes.Centre.Tokens));
        if (centre is null)
        {
            return;
        }

        string inPlace = Implementation.InPlace.Benchmark;
        string Times(Implementation slow) => Numbers.Times(centre.Ratio(slow.Benchmark, inPlace));
        ProblemResults least = all.Where(p => p.Ratio(Implementation.Tuned.Benchmark, inPlace) is not null).MinBy(p => p.Ratio(Implementation.Tuned.Benchmark, inPlace))!;
        page.Heading(2, "In short");
        page.Paragraph(
            $"- {centre.Shape.Objective.Title()} with its gradient, in place, on {Size(centre.Shape)} takes {Numbers.Milliseconds(centre.Seconds(inPlace))} ms: composed torch operations take "
            + $"{Times(Implementation.Composed)} as long, the best that torch operations were found to do {Times(Implementation.Tuned)}, plain `F.cross_entropy` {Times(Implementation.CrossEntropy)}, "
            + $"and `c = a + b` {Times(Implementation.Triad)}.\n"
            + $"- It takes {Memory(centre, Implementation.InPlace)} of memory beyond the logits; by default, with a gradient of its own, {Memory(centre, Implementation.Default)}; composed, "
            + $"{Memory(centre, Implementation.Composed)}, where one tensor of the logits' size is {Numbers.Megabytes(centre.Shape.TensorBytes)} MB.\n"
            + $"- The least that it gains over tuned torch on any problem here is {Numbers.Times(least.Ratio(Implementation.Tuned.Benchmark, inPlace))}: "
            + $"{least.Shape.Objective.Title()}, {Size(least.Shape)}{(least.Shape.Ignored > 0 ? $", {100 * least.Shape.Ignored:0} % ignored" : string.Empty)}.\n"
            + "- The CUDA kernels have run in a virtual machine only; what is said of GPUs is a model.");
    }

    private static string Size(LossShape shape) =>
        $"[{Numbers.Whole(shape.Tokens)}, {Numbers.Whole(shape.Vocabulary)}] {shape.Type.ToString().ToLowerInvariant()}";

    private static string Memory(ProblemResults problem, Implementation implementation) => Numbers.Megabytes(problem.Peak(implementation.Benchmark)) + " MB";
}
