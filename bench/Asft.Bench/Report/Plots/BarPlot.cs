using ScottPlot;
using ScottPlot.TickGenerators;

namespace Asft.Bench.Report.Plots;

/// <summary>Groups of bars, each with its value above it.</summary>
internal static class BarPlot
{
    /// <summary>Draws.</summary>
    /// <param name="plot">An empty plot.</param>
    /// <param name="groups">Names along the axis.</param>
    /// <param name="series">Each with its colour and one value per group; NaN for none.</param>
    public static Plot Draw(Plot plot, IReadOnlyList<string> groups, IReadOnlyList<(string Name, string Colour, IReadOnlyList<double> Values)> series)
    {
        double width = 0.8 / series.Count;
        double most = series.SelectMany(one => one.Values).Where(double.IsFinite).DefaultIfEmpty(1).Max();
        for (int index = 0; index < series.Count; index++)
        {
            (string name, string colour, IReadOnlyList<double> values) = series[index];
            double offset = (index - ((series.Count - 1) / 2.0)) * width;
            var bars = plot.Add.Bars(
                Enumerable.Range(0, groups.Count).Where(group => double.IsFinite(values[group])).Select(group => new Bar
                {
                    Position = group + offset,
                    Value = values[group],
                    Size = width * 0.92,
                    FillColor = new Color(colour),
                    LineWidth = 0,
                    Label = Numbers.Two(values[group]),
                }).ToArray());
            bars.LegendText = name;
            bars.ValueLabelStyle.FontSize = 17;
        }

        plot.Axes.Bottom.TickGenerator = new NumericManual([.. Enumerable.Range(0, groups.Count).Select(i => (double)i)], [.. groups]);
        plot.Axes.Bottom.MajorTickStyle.Length = 0;
        plot.Axes.SetLimits(-0.6, groups.Count - 0.4, 0, most * 1.12);
        PlotStyle.Legend(plot);
        return plot;
    }
}
