using System.Globalization;
using Asft.Bench.Gpu;

namespace Asft.Bench.Report;

/// <summary>The GPU model as tables on a page.</summary>
internal static class GpuTables
{
    /// <summary>Rows that the model is asked about: 4 sequences of 2,048 tokens.</summary>
    public const long Tokens = 8192;

    /// <summary>What the model is about: of the counted cases, those whose rows are not shared, on even addresses.</summary>
    public static IReadOnlyList<GpuCounts> Modelled(IReadOnlyList<GpuCounts> counts) =>
        [.. counts.Where(c => c.Case.IsPlain && c.Case.Vocabulary % 2 == 0)];

    /// <summary>Kernels of one vocabulary, for the plot.</summary>
    public static IReadOnlyList<GpuCounts> Plotted(IReadOnlyList<GpuCounts> counts) => [.. Modelled(counts).Where(c => c.Case.Vocabulary == 32000)];

    /// <summary>Both plots.</summary>
    public static string Plot(PlotFolder plots, IReadOnlyList<GpuCounts> counts) => plots.Save(
        "gpu-roofline",
        Plots.RooflinePlot.Roofs(Plotted(counts), Tokens),
        Plots.RooflinePlot.Resources([.. Plotted(counts).Where(c => c.Case is { Gradient: true, ElementBytes: 2 })], Tokens));

    /// <summary>Time of each resource, and which is the busiest.</summary>
    public static void Prediction(Page page, IReadOnlyList<GpuCounts> counts) => page.Table(
        2,
        ["kernel", "GPU", "V", .. GpuModel.Names.Select(name => name + ", ms"), "second reads from L2", "predicted, ms", "bound by"],
        from counted in Modelled(counts)
        from device in GpuDevice.All
        where device.Runs(counted.Case)
        let model = GpuModel.Of(device, counted, Tokens)
        select (IReadOnlyList<string>)
        [
            counted.Case.Kernel,
            device.Name,
            Numbers.Whole(counted.Case.Vocabulary),
            .. model.Resources.Select(resource => Numbers.Three(resource.Milliseconds)),
            counted.Case.Gradient ? (100 * model.CacheHits).ToString("0", CultureInfo.InvariantCulture) + " %" : "-",
            Numbers.Three(model.Bound.Milliseconds),
            model.Bound.Name,
        ]);

    /// <summary>The published figures.</summary>
    public static void Devices(Page page) => page.Table(
        1,
        ["GPU", "multiprocessors", "clock, GHz", "DRAM, GB/s", "L2, GB/s", "L2, MB", "float32 / clock"],
        GpuDevice.All.Select(device => (IReadOnlyList<string>)
        [
            device.Name,
            Numbers.Whole(device.Multiprocessors),
            Numbers.Three(device.ClockGHz),
            Numbers.Whole(device.DramGBs),
            Numbers.Whole(device.L2GBs),
            Numbers.Whole(device.L2MB),
            Numbers.Whole(device.Float32PerClock),
        ]));
}
