using Asft.Bench.Benchmarks;
using Asft.Bench.Figures;
using Asft.Bench.Results;

namespace Asft.Bench.Report;

/// <summary>One part of what the report shows.</summary>
/// <param name="Name">Of the results.</param>
/// <param name="Choice">What is asked for; the argument says whether quickly.</param>
/// <param name="Measure">Measures it.</param>
internal sealed record ReportPart(string Name, Func<bool, BenchChoice> Choice, Func<BenchChoice, ResultSet> Measure);

/// <summary>Everything that the report shows, in the order in which it is measured.</summary>
internal static class ReportPlan
{
    /// <summary>Of the benchmarks from hidden states.</summary>
    public const string LinearScaling = "linear-tokens";

    public static IReadOnlyList<ReportPart> All { get; } =
    [
        Table("Gpu"),
        Table("Foundation"),
        Table("Pages"),
        Table("Linear"),
        .. LossAxes.All.Select(axis => Benchmarks(axis.Name, "*LossBenchmarks*", axis.Name)),
        Benchmarks(LinearScaling, "*LinearBenchmarks*", axis: null),
    ];

    private static ReportPart Table(string name) => new(
        name.ToLowerInvariant(),
        quick => new BenchChoice([name], null, quick, Full: false),
        choice =>
        {
            FigureSet figures = Tables.All[name](choice.Quick);
            return new ResultSet(choice.Command, DateTime.UtcNow, Machine.Current, [], figures);
        });

    private static ReportPart Benchmarks(string name, string pattern, string? axis) => new(
        name,
        quick => new BenchChoice([pattern], axis, quick, Full: false),
        choice => BenchCommand.Measure(choice).Results);
}
