using ScottPlot;

namespace FineTune.Report;

/// <summary>The PNG of a training: loss, KL divergence, entropy and label probability over its steps.</summary>
internal static class TrainingChart
{
    private const int Width = 1500;
    private const int Height = 1000;
    private const int MostPoints = 1000;

    /// <summary>Draws the chart.</summary>
    /// <param name="steps">The steps, at least one.</param>
    /// <param name="path">The file, there whole or not at all.</param>
    public static void Save(IReadOnlyList<TrainingStep> steps, string path)
    {
        var chart = new Multiplot();
        chart.Subplots.RemoveAt(0);
        chart.Subplots.Add(Panel(steps, "Loss", "mean of the labels", step => step.Loss));
        chart.Subplots.Add(Panel(steps, "KL from the reference", "nats per label", step => step.Kl));
        chart.Subplots.Add(Panel(steps, "Entropy", "nats per label", step => step.Entropy));
        chart.Subplots.Add(Panel(steps, "Probability of the labels", "mean", step => step.LabelProbability));
        chart.Layout = new ScottPlot.MultiplotLayouts.Grid(rows: 2, columns: 2);
        WholeFile.Write(path, chart.Render(Width, Height).GetImageBytes(ImageFormat.Png));
    }

    /// <summary>The means of neighbouring steps, so that there are no more points than can be seen; a number that is none is left out.</summary>
    internal static (double Step, double Value)[] Thin(IReadOnlyList<TrainingStep> steps, Func<TrainingStep, double> value)
    {
        TrainingStep[] known = [.. steps.Where(step => double.IsFinite(value(step)))];
        int size = (known.Length + MostPoints - 1) / MostPoints;
        return known.Length == 0 ? [] : [.. known.Chunk(size).Select(part => (part.Average(step => step.Step), part.Average(value)))];
    }

    private static Plot Panel(IReadOnlyList<TrainingStep> steps, string title, string unit, Func<TrainingStep, double> value)
    {
        var plot = new Plot();
        (double Step, double Value)[] points = Thin(steps, value);
        var line = plot.Add.Scatter(
            points.Select(point => point.Step).ToArray(), points.Select(point => point.Value).ToArray(), new Color("#0072B2"));
        line.LineWidth = 2;
        line.MarkerSize = points.Length > 1 ? 0 : 8;
        ChartStyle.Label(plot, points.Length > 0 ? title : $"{title}: none", "step", unit);
        return plot;
    }
}
