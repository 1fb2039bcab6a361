namespace Asft.Bench.Report.Sections;

/// <summary>What the loss on logits promises, and what pages of memory have to do with it.</summary>
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
        if (data.Find("pages") is { Table: { } pages } measured)
        {
            page.Heading(3, "Pages of memory");
            page.Figures(pages);
            page.Command(measured.Command);
        }
    }
}
