using ScottPlot;

namespace Asft.Bench.Report.Plots;

/// <summary>Lines through points, both axes logarithmic.</summary>
internal static class LinePlot
{
    /// <summary>Draws.</summary>
    /// <param name="plot">An empty plot.</param>
    /// <param name="lines">Each with its points.</param>
    /// <param name="floor">Smaller values are drawn here.</param>
    /// <param name="legend">What the legend says of a line; its name unless told otherwise.</param>
    public static Plot Draw(
        Plot plot,
        IEnumerable<(Implementation Implementation, IReadOnlyList<(double X, double Y)> Points)> lines,
        double floor = 0,
        Func<Implementation, IReadOnlyList<(double X, double Y)>, string>? legend = null)
    {
        (Implementation Implementation, (double X, double Y)[] Points)[] drawn =
        [
            .. lines.Where(line => line.Points.Count > 0)
                .Select(line => (line.Implementation, line.Points.Select(point => (point.X, Math.Max(point.Y, floor))).ToArray())),
        ];
        foreach ((Implementation implementation, (double X, double Y)[] points) in drawn)
        {
            var scatter = plot.Add.Scatter(
                points.Select(point => Math.Log10(point.X)).ToArray(),
                points.Select(point => Math.Log10(point.Y)).ToArray(),
                new Color(implementation.Colour));
            scatter.LegendText = legend is null ? implementation.Name : legend(implementation, points);
            scatter.LineWidth = 3;
            scatter.LinePattern = implementation == Implementation.Triad ? LinePattern.Dashed : LinePattern.Solid;
            scatter.MarkerShape = implementation.Marker;
            scatter.MarkerSize = 13;
        }

        double[] y = [.. drawn.SelectMany(line => line.Points).Select(point => point.Y)];
        double[] x = [.. drawn.SelectMany(line => line.Points).Select(point => point.X)];
        LogAxis.Apply(plot.Axes.Bottom, x.Min() / 1.1, x.Max() * 1.1, LogAxis.Values(x));
        LogAxis.Apply(plot.Axes.Left, y.Min() / 1.6, y.Max() * 1.6, LogAxis.Round(y.Min() / 1.6, y.Max() * 1.6));
        PlotStyle.Legend(plot);
        return plot;
    }
}
