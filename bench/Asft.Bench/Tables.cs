using Asft.Bench.Devices;
using Asft.Bench.Figures;
using Asft.Bench.Foundation;
using Asft.Bench.Gpu;
using Asft.Bench.Linear;
using Asft.Bench.Objectives;
using Asft.Bench.Pages;
using Asft.Bench.Small;
using Asft.Bench.Training;

namespace Asft.Bench;

/// <summary>The tables by the name that <c>--filter</c> takes; each compares, in one interleaved run, what single numbers could not.</summary>
internal static class Tables
{
    private const int QuickRounds = 2;

    public static IReadOnlyDictionary<string, Func<bool, FigureSet>> All { get; } =
        new Dictionary<string, Func<bool, FigureSet>>(StringComparer.OrdinalIgnoreCase)
        {
            ["Foundation"] = quick => FoundationTable.Measure(quick ? QuickRounds : 15),
            ["Small"] = quick => SmallTable.Measure(quick ? QuickRounds : 25),
            ["Objectives"] = quick => ObjectiveTable.Measure(quick ? QuickRounds : 15),
            ["Linear"] = quick => LinearTable.Measure(quick ? QuickRounds : 5),
            ["Devices"] = quick => DeviceTable.Measure(quick ? QuickRounds : 3),
            ["Pages"] = quick => PageTable.Measure(processes: quick ? 1 : 3, rounds: quick ? QuickRounds : 9),
            ["Training"] = quick => TrainingTable.Measure(quick ? QuickRounds : 7),
            ["TrainingBFloat16"] = quick => TrainingTable.MeasureBFloat16(quick ? QuickRounds : 5),
            ["Gpu"] = _ => GpuTable.Figures(GpuTable.Count()),
        };
}
