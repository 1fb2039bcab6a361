using Asft.Bench.Report.Sections;
using Asft.Bench.Results;

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

/// <summary>Everything that the page is made from, by the name of what was measured.</summary>
/// <param name="sets">The results.</param>
internal sealed class ReportData(IReadOnlyDictionary<string, ResultSet> sets)
{
    /// <summary>Results of that name; null when they were not measured.</summary>
    public ResultSet? Find(string name) => sets.GetValueOrDefault(name);

    /// <summary>Where and when: of the newest results.</summary>
    public ResultSet Newest => sets.Values.MaxBy(set => set.Date)!;

    /// <summary>Whether all were measured on the same machine with the same build.</summary>
    public bool IsOfOneBuild => sets.Values.Select(set => set.Machine).Distinct().Count() == 1;
}

/// <summary>Where the plots go.</summary>
/// <param name="output">The directory of the page.</param>
internal sealed class PlotFolder(string output)
{
    /// <summary>Draws a plot into the folder.</summary>
    /// <param name="name">File name without extension.</param>
    /// <param name="panels">The plot, or several to be put side by side.</param>
    /// <returns>Its path as the page says it.</returns>
    public string Save(string name, params ScottPlot.Plot[] panels)
    {
        Plots.PlotStyle.Save(Path.Combine(output, ReportCommand.Name, name + ".png"), panels);
        return PathOf(name);
    }

    /// <summary>Path of a plot as the page says it.</summary>
    public static string PathOf(string name) => $"{ReportCommand.Name}/{name}.png";
}
