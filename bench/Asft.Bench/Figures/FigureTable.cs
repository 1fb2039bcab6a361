using Spectre.Console;

namespace Asft.Bench.Figures;

/// <summary>Figures as a table for people, and as an exit code.</summary>
public static class FigureTable
{
    private const int Width = 150;

    /// <summary>Prints figures.</summary>
    /// <param name="title">What they are of.</param>
    /// <param name="figures">The figures.</param>
    /// <returns>0 when every one is as it must be, otherwise 1.</returns>
    public static int Print(string title, List<Figure> figures)
    {
        AnsiConsole.Profile.Width = Math.Max(AnsiConsole.Profile.Width, Width);
        Table table = new Table().Border(TableBorder.Rounded)
            .AddColumns("figure", "size", "must", "aim", "measured", string.Empty)
            .Title(Markup.Escape(title));
        foreach (Figure figure in figures)
        {
            table.AddRow(
                Markup.Escape(figure.Name),
                Markup.Escape(figure.Size),
                Markup.Escape(figure.Must),
                Markup.Escape(figure.Aim),
                Markup.Escape(figure.Measured),
                figure.ReachesAim ? "[green]aim[/]" : figure.Holds ? "[yellow]must[/]" : "[red]missed[/]");
        }

        AnsiConsole.Write(table);
        return figures.TrueForAll(figure => figure.Holds) ? 0 : 1;
    }
}
