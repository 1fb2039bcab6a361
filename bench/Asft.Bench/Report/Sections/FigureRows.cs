using Asft.Bench.Figures;

namespace Asft.Bench.Report.Sections;

/// <summary>A table of figures on the page.</summary>
internal static class FigureRows
{
    public static void Write(Page page, FigureSet set)
    {
        page.Paragraph(set.Title + ".");
        page.Table(
            2,
            ["figure", "size", "must", "aim", "measured", ""],
            set.Figures.Select(figure => (IReadOnlyList<string>)
            [
                figure.Name, figure.Size, figure.Must, figure.Aim, figure.Measured, figure.Verdict == "missed" ? "**missed**" : figure.Verdict,
            ]));
    }
}
