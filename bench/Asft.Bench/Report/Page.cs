using System.Text;
using Asft.Bench.Figures;

namespace Asft.Bench.Report;

/// <summary>A page of Markdown in the making.</summary>
internal sealed class Page
{
    private readonly StringBuilder _text = new();

    public void Heading(int level, string text) => Block($"{new string('#', level)} {text}");

    public void Paragraph(string text) => Block(text);

    public void Command(string command) => Block($"```sh\n{command}\n```");

    public void Image(string path, string description) => Block($"![{description}]({path})");

    /// <summary>A table; columns after the first <paramref name="textColumns"/> are aligned to the right.</summary>
    public void Table(int textColumns, IReadOnlyList<string> headings, IEnumerable<IReadOnlyList<string>> rows)
    {
        var table = new StringBuilder();
        Row(table, headings);
        Row(table, [.. headings.Select((_, column) => column < textColumns ? "---" : "--:")]);
        foreach (IReadOnlyList<string> row in rows)
        {
            if (row.Count != headings.Count)
            {
                throw new ArgumentException($"rows has one of {row.Count} cells under {headings.Count} headings: {string.Join(" | ", row)}", nameof(rows));
            }

            Row(table, row);
        }

        Block(table.ToString().TrimEnd('\n'));
    }

    /// <summary>A table of figures.</summary>
    public void Figures(FigureSet set)
    {
        Paragraph(set.Title + ".");
        Table(
            2,
            ["figure", "size", "must", "aim", "measured", ""],
            set.Figures.Select(figure => (IReadOnlyList<string>)
            [
                figure.Name, figure.Size, figure.Must, figure.Aim, figure.Measured, figure.Verdict == "missed" ? "**missed**" : figure.Verdict,
            ]));
    }

    public override string ToString() => _text.ToString();

    private static void Row(StringBuilder table, IEnumerable<string> cells) =>
        table.Append("| ").AppendJoin(" | ", cells.Select(cell => cell.Replace("|", "\\|", StringComparison.Ordinal))).Append(" |\n");

    private void Block(string text)
    {
        if (_text.Length > 0)
        {
            _text.Append('\n');
        }

        _text.Append(text).Append('\n');
    }
}
