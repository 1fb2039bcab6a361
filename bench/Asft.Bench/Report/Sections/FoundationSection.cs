namespace Asft.Bench.Report.Sections;

/// <summary>What the loss on logits promises.</summary>
internal static class FoundationSection
{
    public static void Write(Page page, ReportData data)
    {
        page.Heading(2, "What is promised");
        if (data.Find("foundation") is not { Table: { } table } set)
        {
            page.Paragraph("Not measured.");
            return;
        }

        page.Figures(table);
        page.Command(set.Command);
    }
}
