using Asft.Bench.Gpu;
using ScottPlot;

namespace Asft.Bench.Report.Plots;

/// <summary>
/// A roofline of instructions: how many warp instructions a GPU could start per second, for kernels with so many of them per byte of DRAM
/// traffic, and how many the model says that these kernels do.
/// </summary>
internal static class RooflinePlot
{
    private const double Least = 0.02;
    private const double Most = 2;

    private static readonly string[] s_colours = ["#009E73", "#0072B2", "#D55E00"];
    private static readonly MarkerShape[] s_markers = [MarkerShape.OpenCircle, MarkerShape.FilledCircle, MarkerShape.OpenDiamond, MarkerShape.FilledDiamond];

    /// <summary>The roofs and the kernels.</summary>
    /// <param name="counts">Kernels, at most four for each GPU.</param>
    /// <param name="tokens">Rows.</param>
    public static Plot Roofs(IReadOnlyList<GpuCounts> counts, long tokens)
    {
        Plot plot = PlotStyle.Create("Roofline (model)", "warp instructions per byte of DRAM traffic", "10⁹ warp instructions per second");
        double highest = 0;
        for (int device = 0; device < GpuDevice.All.Count; device++)
        {
            GpuDevice gpu = GpuDevice.All[device];
            double peak = GpuDevice.IssuePerClock * gpu.Multiprocessors * gpu.ClockGHz;
            double ridge = peak / gpu.DramGBs;
            highest = Math.Max(highest, peak);
            double[] x = [Least, ridge, Most];
            var roof = plot.Add.ScatterLine(
                x.Select(Math.Log10).ToArray(), x.Select(intensity => Math.Log10(Math.Min(peak, intensity * gpu.DramGBs))).ToArray(), new Color(s_colours[device]));
            roof.LineWidth = 3;
            roof.LegendText = gpu.Name;
            GpuCounts[] own = [.. counts.Where(count => gpu.Runs(count.Case))];
            for (int kernel = 0; kernel < own.Length; kernel++)
            {
                GpuCounts count = own[kernel];
                GpuModel model = GpuModel.Of(gpu, count, tokens);
                double instructions = count.WarpInstructions * ((double)tokens / count.Case.Rows);
                double bytes = model.Resources[0].Milliseconds / 1e3 * gpu.DramGBs * 1e9;
                var point = plot.Add.Marker(
                    Math.Log10(instructions / bytes),
                    Math.Log10(instructions / model.Bound.Milliseconds / 1e6),
                    s_markers[kernel],
                    15,
                    new Color(s_colours[device]));
                point.MarkerStyle.LineWidth = 3;
                if (device == GpuDevice.All.Count - 1)
                {
                    Name(plot, s_markers[kernel], count.Case.Kernel);
                }
            }
        }

        LogAxis.Apply(plot.Axes.Bottom, Least, Most, LogAxis.Round(Least, Most));
        double lowest = GpuDevice.All.Min(gpu => gpu.DramGBs) * Least;
        LogAxis.Apply(plot.Axes.Left, lowest, highest * 1.5, LogAxis.Round(lowest, highest * 1.5));
        PlotStyle.Legend(plot);
        return plot;
    }

    /// <summary>Time of each resource for one kernel, as each GPU runs it.</summary>
    public static Plot Resources(IReadOnlyList<GpuCounts> counts, long tokens)
    {
        GpuCase shown = counts[0].Case;
        Plot plot = PlotStyle.Create($"Each resource's time (model), {shown.Kernel}", string.Empty, $"milliseconds, [{Numbers.Whole(tokens)}, {Numbers.Whole(shown.Vocabulary)}]");
        return BarPlot.Draw(
            plot,
            GpuModel.Names,
            [
                .. from pair in GpuDevice.All.Zip(s_colours)
                   from count in counts
                   where pair.First.Runs(count.Case)
                   select (
                       pair.First.Name,
                       pair.Second,
                       (IReadOnlyList<double>)[.. GpuModel.Of(pair.First, count, tokens).Resources.Select(resource => resource.Milliseconds)]),
            ]);
    }

    /// <summary>An entry of the legend for a shape, whatever the colour.</summary>
    private static void Name(Plot plot, MarkerShape shape, string name)
    {
        var entry = plot.Add.Marker(double.NaN, double.NaN, shape, 15, Colors.Black);
        entry.LegendText = name;
    }
}
