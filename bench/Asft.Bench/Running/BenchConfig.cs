using Asft.Bench.Columns;
using Asft.Bench.Results;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.EventProcessors;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using BenchmarkDotNet.Validators;
using Perfolizer.Horology;

namespace Asft.Bench.Running;

/// <summary>How BenchmarkDotNet measures here.</summary>
internal static class BenchConfig
{
    /// <summary>
    /// In this process, because every problem takes memory that the next one can have; each operation timed by itself, because it takes
    /// milliseconds and its inputs are put back before it.
    /// </summary>
    /// <param name="quick">Few runs, to see that everything works.</param>
    /// <param name="logFile">Where BenchmarkDotNet's own words go.</param>
    /// <param name="events">Told of progress.</param>
    /// <param name="filters">Which benchmarks run.</param>
    public static IConfig Create(bool quick, ILogger logFile, EventProcessor events, IEnumerable<IFilter> filters)
    {
        Job job = Job.Default
            .WithId(quick ? "quick" : "bench")
            .WithToolchain(new InProcessEmitToolchain(TimeSpan.FromHours(1), logOutput: false))
            .WithStrategy(RunStrategy.Monitoring)
            .WithWarmupCount(1)
            .WithIterationCount(quick ? 3 : 7)
            .WithInvocationCount(1)
            .WithUnrollFactor(1);
        return ManualConfig.CreateEmpty()
            .AddJob(job)
            .AddColumnProvider(DefaultColumnProviders.Descriptor, DefaultColumnProviders.Params)
            .AddColumn(StatisticColumn.Median, StatisticColumn.Q1, StatisticColumn.Q3)
            .AddColumn(FigureColumns.All)
            .AddDiagnoser(new PeakMemoryDiagnoser())
            .AddValidator(JitOptimizationsValidator.FailOnError)
            .AddLogger(logFile)
            .AddEventProcessor(events)
            .AddFilter([.. filters])
            .WithSummaryStyle(SummaryStyle.Default.WithTimeUnit(TimeUnit.Millisecond))
            .WithOptions(ConfigOptions.DisableLogFile)
            .WithArtifactsPath(Path.Combine(ResultStore.DefaultDirectory, "BenchmarkDotNet"));
    }
}
