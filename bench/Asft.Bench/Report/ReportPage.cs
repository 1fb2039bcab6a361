using Asft.Bench.Report.Sections;

namespace Asft.Bench.Report;

/// <summary>The page: what matters most comes first.</summary>
internal static class ReportPage
{
    /// <summary>Writes <c>benchmarks.md</c> and the plots in <c>benchmarks/</c>.</summary>
    /// <param name="data">The results; parts that are missing are left out, and said to be.</param>
    /// <param name="output">The directory.</param>
    public static void Write(ReportData data, string output)
    {
        var page = new Page();
        var plots = new PlotFolder(output);
        page.Heading(1, "Benchmarks");
        SummarySection.Write(page, data);
        IntroductionSection.Write(page, data);
        FoundationSection.Write(page, data);
        ObjectivesSection.Write(page, data, plots);
        VocabularySection.Write(page, data, plots);
        MemorySection.Write(page, data, plots);
        LimitSection.Write(page, data, plots);
        ScalingSection.Write(page, data, plots);
        LinearSection.Write(page, data, plots);
        GpuSection.Write(page, data, plots);
        MethodSection.Write(page, data);
        Directory.CreateDirectory(output);
        File.WriteAllText(Path.Combine(output, ReportCommand.Name + ".md"), page.ToString());
    }
}
