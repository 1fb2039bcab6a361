using Spectre.Console;

namespace Asft.Bench.Figures;

/// <summary>Figures as a table for people, and as an exit code.</summary>
public static class FigureTable
{
    private const int Width = 150;

    /// <summary>Prints figures.</summary>
    /// <param name="set">The figures.</param>
    /// <returns>0 when every one is as it must be, otherwise 1.</returns>
    public static int Print(FigureSet set)
    {
        AnsiConsole.Profile.Width = Math.Max(AnsiConsole.Profile.Width, Width);
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("figure", "size", "must", "aim", "measured", string.Empty)
            .Title(Markup.Escape(set.Title));
        foreach (Figure figure in set.Figures)
        {
            table.AddRow(
                Markup.Escape(figure.Name),
                Markup.Escape(figure.Size),
                Markup.Escape(figure.Must),
                Markup.Escape(figure.Aim),
                Markup.Escape(figure.Measured),
                figure.Verdict switch { "aim" => "[green]aim[/]", "must" => "[yellow]must[/]", "missed" => "[red]missed[/]", _ => string.Empty });
        }

        AnsiConsole.Write(table);
        return set.Figures.All(figure => figure.Holds) ? 0 : 1;
    }
}
