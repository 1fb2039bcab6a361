using Asft.Bench.Benchmarks;
using Asft.Bench.Columns;
using Asft.Bench.Results;
using BenchmarkDotNet.EventProcessors;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using Spectre.Console;

namespace Asft.Bench.Running;

/// <summary>Runs BenchmarkDotNet's benchmarks, with a bar that moves, and turns its reports into results.</summary>
internal static class Suite
{
    private static readonly Type[] s_classes = [typeof(LossBenchmarks), typeof(LinearBenchmarks)];

    /// <summary>Names of the benchmarks, as patterns match them, without parameters.</summary>
    public static IEnumerable<string> Names => s_classes.SelectMany(type => type.GetMethods()
        .Where(method => method.GetCustomAttributes(typeof(BenchmarkDotNet.Attributes.BenchmarkAttribute), false).Length > 0)
        .Select(method => $"{type.Name}.{method.Name}"));

    /// <summary>Runs benchmarks.</summary>
    /// <param name="title">What the bar says.</param>
    /// <param name="patterns">Patterns of names, for example <c>*Loss*</c>.</param>
    /// <param name="losses">Which problems of the losses on logits.</param>
    /// <param name="quick">Few runs.</param>
    /// <returns>A summary for each class of benchmarks of which some ran.</returns>
    public static Summary[] Run(string title, string[] patterns, LossFilter losses, bool quick)
    {
        string log = Path.Combine(ResultStore.DefaultDirectory, "BenchmarkDotNet.log");
        Directory.CreateDirectory(ResultStore.DefaultDirectory);
        using var writer = new StreamWriter(log, append: false);
        Summary[] summaries = [];
        AnsiConsole.Progress()
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .Start(progress =>
            {
                ProgressTask bar = progress.AddTask(Markup.Escape(title));
                var events = new Progress(_ => bar.Increment(1));
                var config = BenchConfig.Create(quick, new StreamLogger(writer), events, [new GlobFilter(patterns), losses]);
                BenchmarkRunInfo[] infos =
                [
                    .. s_classes.Select(type => BenchmarkConverter.TypeToBenchmarks(type, config)).Where(info => info.BenchmarksCases.Length > 0),
                ];
                bar.MaxValue = infos.Sum(info => info.BenchmarksCases.Length);
                summaries = infos.Length == 0 ? [] : BenchmarkRunner.Run(infos);
            });
        LossBenchmarks.Clear();
        LinearBenchmarks.Clear();
        if (summaries.Any(summary => summary.HasCriticalValidationErrors || summary.Reports.Any(report => !report.Success)))
        {
            throw new UserErrorException($"Some benchmarks failed; {log} tells why.");
        }

        return summaries;
    }

    /// <summary>What is kept of a summary.</summary>
    public static IReadOnlyList<Results.Measurement> Measurements(Summary[] summaries) =>
    [
        .. summaries.SelectMany(summary => summary.Reports).Where(report => report.ResultStatistics is not null).Select(report => new Results.Measurement(
            (report.BenchmarkCase.Descriptor.Type == typeof(LinearBenchmarks) ? "Linear." : string.Empty)
                + report.BenchmarkCase.Descriptor.WorkloadMethod.Name,
            LossBenchmarks.ShapeOf(report.BenchmarkCase),
            (int)report.BenchmarkCase.Parameters[nameof(LossBenchmarks.Tokens)],
            report.ResultStatistics!.Median / 1e9,
            report.ResultStatistics.Q1 / 1e9,
            report.ResultStatistics.Q3 / 1e9,
            report.ResultStatistics.N,
            report.Metrics.GetValueOrDefault(PeakMemoryDiagnoser.MetricId)?.Value)),
    ];

    /// <summary>Prints BenchmarkDotNet's table.</summary>
    public static void Print(Summary summary)
    {
        var logger = new AccumulationLogger();
        BenchmarkDotNet.Exporters.MarkdownExporter.Console.ExportToLog(summary, logger);
        Console.WriteLine(logger.GetLog());
        foreach (FigureColumn column in FigureColumns.All)
        {
            Console.WriteLine($"  {column.ColumnName,-12} {column.Legend}");
        }
    }
}

/// <summary>Passes on what BenchmarkDotNet is at.</summary>
/// <param name="ended">Called after each benchmark.</param>
internal sealed class Progress(Action<BenchmarkReport> ended) : EventProcessor
{
    public override void OnEndRunBenchmark(BenchmarkCase benchmarkCase, BenchmarkReport report) => ended(report);
}
