using Asft.Bench.Benchmarks;
using Asft.Bench.Measuring;
using BenchmarkDotNet.Analysers;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Validators;

namespace Asft.Bench.Columns;

/// <summary>
/// Peak resident memory of the timed runs, beyond what was resident when they began: after setup and warm-up, with the inputs in
/// place and freed memory given back to the system. What an implementation keeps from one call to the next is not in it.
/// </summary>
/// <remarks>Works with in-process toolchains only: it looks at the process that it is in. Memory of a GPU is not seen.</remarks>
internal sealed class PeakMemoryDiagnoser : IDiagnoser
{
    public const string MetricId = "PeakMemory";

    private readonly Dictionary<BenchmarkCase, long> _peaks = [];
    private PeakMeter? _meter;

    public IEnumerable<string> Ids => [MetricId];

    public IEnumerable<IExporter> Exporters => [];

    public IEnumerable<IAnalyser> Analysers => [];

    public BenchmarkDotNet.Diagnosers.RunMode GetRunMode(BenchmarkCase benchmarkCase) => BenchmarkDotNet.Diagnosers.RunMode.NoOverhead;

    public void Handle(HostSignal signal, DiagnoserActionParameters parameters)
    {
        if (signal == HostSignal.BeforeActualRun)
        {
            _meter = PeakMeter.Start();
        }
        else if (signal == HostSignal.AfterActualRun && _meter is { } meter)
        {
            _peaks[parameters.BenchmarkCase] = meter.Stop();
            _meter = null;
        }
    }

    public IEnumerable<Metric> ProcessResults(DiagnoserResults results)
    {
        bool onGpu = LossBenchmarks.ShapeOf(results.BenchmarkCase) is { Device: not "cpu" };
        if (!onGpu && _peaks.TryGetValue(results.BenchmarkCase, out long peak))
        {
            yield return new Metric(Peak.Descriptor, peak);
        }
    }

    public void DisplayResults(ILogger logger)
    {
    }

    public IEnumerable<ValidationError> Validate(ValidationParameters validationParameters) => [];

    /// <summary>Hidden, because <see cref="FigureColumns"/> shows it in a unit of its own.</summary>
    private sealed class Peak : IMetricDescriptor
    {
        public static Peak Descriptor { get; } = new();

        public string Id => MetricId;

        public string DisplayName => MetricId;

        public string Legend => "Peak resident memory, bytes";

        public string NumberFormat => "0";

        public UnitType UnitType => UnitType.Dimensionless;

        public string Unit => "B";

        public bool TheGreaterTheBetter => false;

        public int PriorityInCategory => 0;

        public bool GetIsAvailable(Metric metric) => false;
    }
}
