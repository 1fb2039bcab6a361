using FineTune.Evaluation;
using ScottPlot;

namespace FineTune.Report;

/// <summary>The PNG: learning in the upper row and drift in the lower, the domain of the fine-tuning at left and the others at right.</summary>
internal static class CurveChart
{
    private const string FileName = "fine-tune.png";
    private const int Width = 1500;
    private const int Height = 1100;
    private const int MostBytes = 1 << 19; // it has half of that

    // Okabe and Ito's colours, told apart with any colour vision; the markers tell the modes apart in print.
    private static readonly Dictionary<string, (string Colour, MarkerShape Marker)> Styles = new()
    {
        ["SFT"] = ("#0072B2", MarkerShape.FilledCircle),
        ["DFT"] = ("#E69F00", MarkerShape.FilledSquare),
        ["SFT+KL"] = ("#009E73", MarkerShape.FilledTriangleUp),
        ["ASFT"] = ("#D55E00", MarkerShape.FilledDiamond),
    };

    /// <summary>Makes sure that the file can be written, before there is something to lose; returns its path.</summary>
    public static string Prepare(string directory)
    {
        try
        {
            string path = Path.Combine(Directory.CreateDirectory(directory).FullName, FileName);
            WholeFile.Try(path, MostBytes);
            return path;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot write to the output directory '{directory}' ({error.Message.TrimEnd('.')}).");
        }
    }

    /// <summary>Draws the chart and writes it to a path that <see cref="Prepare"/> returned.</summary>
    public static void Save(Results results, string path)
    {
        string domain = results.Base.Domain.Name;
        string others = string.Join(", ", results.Base.Others.Select(score => score.Name));
        string nats = $"{results.KlName}, nats per token";

        var chart = new Multiplot();
        chart.Subplots.RemoveAt(0);
        chart.Subplots.Add(Shares(Panel(results, $"Learning: {domain}", "right answers, %", score => 100 * score.Domain.Accuracy)));
        chart.Subplots.Add(Shares(Panel(results, $"Keeping: {others}", "right answers, %", score => 100 * score.AccuracyKept)));
        chart.Subplots.Add(Panel(results, $"Drift: {domain}", nats, score => score.Domain.Kl));
        chart.Subplots.Add(Panel(results, $"Drift: {others}", nats, score => score.KlElsewhere));
        chart.Layout = new ScottPlot.MultiplotLayouts.Grid(rows: 2, columns: 2);
        byte[] png = chart.Render(Width, Height).GetImageBytes(ImageFormat.Png);
        try
        {
            WholeFile.Write(path, png);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Cannot write the curves ({error.Message.TrimEnd('.')}).");
        }
    }

    /// <summary>The same axis for both panels of percentages, whatever is on them.</summary>
    private static Plot Shares(Plot plot)
    {
        plot.Axes.SetLimitsY(-2, 102);
        return plot;
    }

    private static Plot Panel(Results results, string title, string unit, Func<Score, double> value)
    {
        var plot = new Plot();
        foreach (Outcome outcome in results.Outcomes)
        {
            var (colour, marker) = Styles[outcome.Mode.Name];
            var line = plot.Add.Scatter(
                outcome.Curve.Select(point => (double)point.Step).ToArray(),
                outcome.Curve.Select(point => value(point.Score)).ToArray(),
                new Color(colour));
            line.LegendText = outcome.Mode.Name;
            line.LineWidth = 3;
            line.MarkerShape = marker;
            line.MarkerSize = 11;
        }

        ChartStyle.Label(plot, title, "fine-tuning step", unit);

        // Below the axes, where no curve can run under it.
        plot.Legend.Orientation = Orientation.Horizontal;
        plot.Legend.FontSize = 16;
        plot.Legend.TightHorizontalWrapping = true;
        plot.Legend.OutlineWidth = 0;
        plot.Legend.ShadowColor = Colors.Transparent;
        plot.ShowLegend(Edge.Bottom);
        return plot;
    }
}
