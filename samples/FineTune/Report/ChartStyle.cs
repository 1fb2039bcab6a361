using ScottPlot;
using SkiaSharp;

namespace FineTune.Report;

/// <summary>What all charts have in common.</summary>
internal static class ChartStyle
{
    private static readonly string[] s_sansSerifs = ["Segoe UI", "Helvetica Neue", "Arial", "DejaVu Sans", "Liberation Sans", "Noto Sans"];

    /// <summary>Without a single font on the system, as in small containers, the curves are drawn and the words are not.</summary>
    public static bool CanWrite => SKFontManager.Default.FontFamilies.Any();

    /// <summary>Title and axes, in a font that the system has.</summary>
    public static void Label(Plot plot, string title, string x, string y)
    {
        plot.Font.Set(s_sansSerifs.Intersect(SKFontManager.Default.FontFamilies).FirstOrDefault(Fonts.Default));
        plot.Title(title, size: 22);
        plot.XLabel(x, size: 17);
        plot.YLabel(y, size: 17);
        plot.Axes.Bottom.TickLabelStyle.FontSize = 15;
        plot.Axes.Left.TickLabelStyle.FontSize = 15;
        plot.Axes.Left.MinimumSize = 95;
        plot.Axes.Left.Label.OffsetX = 12;
        plot.Axes.Right.MinimumSize = 25;
        plot.Axes.Bottom.Label.Bold = false;
        plot.Axes.Left.Label.Bold = false;
    }
}
