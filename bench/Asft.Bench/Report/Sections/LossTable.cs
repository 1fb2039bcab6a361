using Asft.Bench.Problems;
using Asft.Bench.Results;

namespace Asft.Bench.Report.Sections;

/// <summary>Times of everything on some problems.</summary>
internal static class LossTable
{
    /// <summary>Writes a table of forward and backward, one of forward alone, and how far runs lie apart.</summary>
    /// <param name="page">The page.</param>
    /// <param name="set">The results.</param>
    /// <param name="key">Heading of the first column: what varies.</param>
    /// <param name="label">What a problem has there.</param>
    public static void Write(Page page, ResultSet set, string key, Func<LossShape, string> label)
    {
        IReadOnlyList<ProblemResults> problems = ProblemResults.Of(set);
        string Label(ProblemResults problem) => problem.Shape.Device == "cpu" ? label(problem.Shape) : $"{label(problem.Shape)}, {problem.Shape.Device}";

        page.Paragraph($"Forward and backward, milliseconds ({Constant([.. problems.Select(problem => problem.Shape)])}):");
        page.Table(
            1,
            [key, .. Implementation.All.Select(i => i.Name), "in place: composed / it", "tuned / it", "it / triad", "its GB/s"],
            problems.Select(problem => (IReadOnlyList<string>)
            [
                Label(problem),
                .. Implementation.All.Select(i => Numbers.Milliseconds(problem.Seconds(i.Benchmark))),
                Numbers.Times(problem.Ratio(Implementation.Composed.Benchmark, Implementation.InPlace.Benchmark)),
                Numbers.Times(problem.Ratio(Implementation.Tuned.Benchmark, Implementation.InPlace.Benchmark)),
                Numbers.Times(problem.Ratio(Implementation.InPlace.Benchmark, Implementation.Triad.Benchmark)),
                Numbers.Three((problem.BytesPerSecond(Implementation.InPlace, backward: true) ?? double.NaN) / 1e9),
            ]));

        Implementation[] forward = [.. Implementation.All.Where(i => i.Forward is not null)];
        page.Paragraph("Forward alone (`no_grad`), milliseconds:");
        page.Table(
            1,
            [key, .. forward.Select(i => i.Name), "composed / asft_loss", "tuned / it", "it / triad", "its GB/s"],
            problems.Select(problem => (IReadOnlyList<string>)
            [
                Label(problem),
                .. forward.Select(i => Numbers.Milliseconds(problem.Seconds(i.Forward))),
                Numbers.Times(problem.Ratio(Implementation.Composed.Forward, Implementation.Default.Forward)),
                Numbers.Times(problem.Ratio(Implementation.Tuned.Forward, Implementation.Default.Forward)),
                Numbers.Times(problem.Ratio(Implementation.Default.Forward, Implementation.Triad.Benchmark)),
                Numbers.Three((problem.BytesPerSecond(Implementation.Default, backward: false) ?? double.NaN) / 1e9),
            ]));
        page.Paragraph(Spread(set));
        page.Command(set.Command);
    }

    /// <summary>What all problems have in common.</summary>
    private static string Constant(LossShape[] shapes)
    {
        IEnumerable<string> OfAll<T>(Func<LossShape, T> property, Func<T, string> text) =>
            shapes.Select(property).Distinct().Count() == 1 ? [text(property(shapes[0]))] : [];

        return string.Join(
            ", ",
            [
                .. OfAll(shape => shape.Objective, objective => objective.Title()),
                .. OfAll(shape => shape.Type, type => type.ToString().ToLowerInvariant()),
                .. OfAll(shape => shape.Tokens, tokens => $"N = {Numbers.Whole(tokens)}"),
                .. OfAll(shape => shape.Vocabulary, vocabulary => $"V = {Numbers.Whole(vocabulary)}"),
                .. OfAll(shape => shape.Ignored, share => share == 0 ? "no label ignored" : $"{100 * share:0} % of the labels ignored"),
                .. OfAll(shape => shape.Threads, threads => $"{threads} threads"),
            ]);
    }

    private static string Spread(ResultSet set)
    {
        double[] spreads = [.. set.Measurements.Select(m => (m.UpperQuartile - m.LowerQuartile) / 2 / m.Seconds).Order()];
        return $"Medians of {set.Measurements[0].Runs} runs each. The quartiles lie {Numbers.Three(100 * spreads[spreads.Length / 2])} % from the median in the middle "
            + $"one of these benchmarks, and {Numbers.Three(100 * spreads[^1])} % in the worst.";
    }
}
