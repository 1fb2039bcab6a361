using ScottPlot;
using SkiaSharp;

namespace Asft.Bench.Report.Plots;

/// <summary>What all plots have in common. They are PNG: a PNG looks the same wherever it is seen, with that system's fonts or without.</summary>
internal static class PlotStyle
{
    public const int Width = 1400;
    public const int Height = 800;

    private const int TitleSize = 28;
    private const int TextSize = 21;

    private static readonly string[] s_sansSerifs = ["Segoe UI", "Helvetica Neue", "Arial", "DejaVu Sans", "Liberation Sans", "Noto Sans"];

    /// <summary>Fails before there is something to lose: without a single font, lines are drawn and words are not.</summary>
    /// <exception cref="UserErrorException">There is no font.</exception>
    public static void RequireFonts()
    {
        if (!SKFontManager.Default.FontFamilies.Any())
        {
            throw new UserErrorException("The plots need a font, and none is installed; on Debian, apt-get install fonts-dejavu-core is enough.");
        }
    }

    /// <summary>An empty plot.</summary>
    public static Plot Create(string title, string x, string y)
    {
        var plot = new Plot();
        plot.Font.Set(s_sansSerifs.Intersect(SKFontManager.Default.FontFamilies).FirstOrDefault(Fonts.Default));
        plot.Title(title, size: TitleSize);
        plot.XLabel(x, size: TextSize);
        plot.YLabel(y, size: TextSize);
        foreach (IAxis axis in new IAxis[] { plot.Axes.Bottom, plot.Axes.Left })
        {
            axis.TickLabelStyle.FontSize = TextSize - 2;
            axis.Label.Bold = false;
        }

        plot.Axes.Left.MinimumSize = 120;
        plot.Axes.Left.Label.OffsetX = 8;
        plot.Axes.Bottom.MinimumSize = 75;
        plot.Axes.Right.MinimumSize = 45;
        plot.Grid.MajorLineColor = Colors.Black.WithAlpha(0.12);
        return plot;
    }

    /// <summary>The legend below the axes, where nothing can run under it.</summary>
    public static void Legend(Plot plot)
    {
        plot.Legend.Orientation = Orientation.Horizontal;
        plot.Legend.FontSize = TextSize - 1;
        plot.Legend.TightHorizontalWrapping = true;
        plot.Legend.OutlineWidth = 0;
        plot.Legend.ShadowColor = Colors.Transparent;
        plot.ShowLegend(Edge.Bottom);
    }

    /// <summary>Plots side by side, or one.</summary>
    public static void Save(string path, params Plot[] panels)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        if (panels is [var single])
        {
            single.SavePng(path, Width, Height);
            return;
        }

        var together = new Multiplot();
        together.Subplots.RemoveAt(0);
        foreach (Plot panel in panels)
        {
            together.Subplots.Add(panel);
        }

        int rows = (panels.Length + 1) / 2;
        together.Layout = new ScottPlot.MultiplotLayouts.Grid(rows, columns: 2);
        together.SavePng(path, Width * 4 / 3, Height * rows);
    }
}
