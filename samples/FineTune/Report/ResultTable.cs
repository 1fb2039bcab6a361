using FineTune.Evaluation;
using Spectre.Console;

namespace FineTune.Report;

/// <summary>The table at the end: a column for each mode, so that a row compares them.</summary>
internal static class ResultTable
{
    public static Table Of(Results results)
    {
        var table = new Table().AddColumns("", "base");
        foreach (Outcome outcome in results.Outcomes)
        {
            table.AddColumn(outcome.Mode.Name);
        }

        foreach (TableColumn column in table.Columns.Skip(1))
        {
            column.RightAligned().NoWrap();
        }

        void Heading(string name) => table.AddRow(Markup.Escape(name));

        void Row(string name, Func<Score, string> value) =>
            table.AddRow([Markup.Escape(name), value(results.Base), .. results.Outcomes.Select(outcome => value(outcome.Final))]);

        void CostRow(string name, Func<Outcome, double> value, string format) =>
            table.AddRow([name, "", .. results.Outcomes.Select(outcome => Number(value(outcome), format))]);

        Heading($"{results.Base.Domain.Name}, held out");
        Row("  accuracy", score => Percent(score.Domain.Accuracy));
        Row("  token accuracy", score => Percent(score.Domain.TokenAccuracy));
        Row("  loss, nats/token", score => Number(score.Domain.Loss, "F3"));
        Row($"  {results.KlName}, nats/token", score => Number(score.Domain.Kl, "F3"));
        table.AddEmptyRow();
        Heading("other problems, held out");
        for (int index = 0; index < results.Base.Others.Length; index++)
        {
            int other = index;
            Row($"  accuracy, {results.Base.Others[other].Name}", score => Percent(score.Others[other].Accuracy));
        }

        Row("  accuracy kept, mean", score => Percent(score.AccuracyKept));
        Row($"  {results.KlName}, nats/token", score => Number(score.KlElsewhere, "F3"));
        table.AddEmptyRow();
        Heading("a training step");
        CostRow("  median time, s", outcome => outcome.Cost.Seconds, "F3");
        CostRow("  rise of resident memory, MiB", outcome => outcome.Cost.MemoryMiB, "F0");
        return table;
    }

    private static string Percent(double share) => $"{100 * share:F1} %";

    private static string Number(double value, string format) => double.IsNaN(value) ? "-" : value.ToString(format, null);
}
