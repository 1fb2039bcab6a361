using System.Diagnostics;
using System.Globalization;
using Asft.Bench.Gpu;
using Asft.Bench.Report.Plots;
using Asft.Bench.Results;

namespace Asft.Bench.Report;

/// <summary><c>report</c>: measures what is to be shown, and writes the page.</summary>
internal static class ReportCommand
{
    /// <summary>Name of the page, and of the folder of its plots.</summary>
    public const string Name = "benchmarks";

    /// <summary>Measures and writes.</summary>
    /// <param name="from">Measure nothing, take the results in this directory; null to measure.</param>
    /// <param name="resume">Measure only what there is not yet for this build.</param>
    /// <param name="quick">Few runs.</param>
    /// <param name="output">Where the page goes.</param>
    /// <returns>0.</returns>
    public static int Run(string? from, bool resume, bool quick, string output)
    {
        PlotStyle.RequireFonts();
        ReportData data = from is null ? Measure(resume, quick) : Load(from);
        ReportPage.Write(data, output);
        if (data.Find("gpu")?.Table?.Counts is { } counts)
        {
            GpuPage.Write(counts, output);
        }

        Console.WriteLine($"Wrote {Path.Combine(output, Name + ".md")} and its plots in {Path.Combine(output, Name)}.");
        return 0;
    }

    /// <summary>Counts the CUDA kernels, and writes their page alone.</summary>
    /// <param name="output">Where the page goes.</param>
    /// <returns>0.</returns>
    public static int RunGpu(string output)
    {
        PlotStyle.RequireFonts();
        GpuPage.Write(GpuTable.Count(), output);
        Console.WriteLine($"Wrote {Path.Combine(output, GpuPage.FileName)} and its plot in {Path.Combine(output, Name)}.");
        return 0;
    }

    private static ReportData Measure(bool resume, bool quick)
    {
        long start = Stopwatch.GetTimestamp();
        var store = new ResultStore(ResultStore.DefaultDirectory);
        Machine machine = Machine.Current;
        Dictionary<string, ResultSet> sets = [];
        for (int index = 0; index < ReportPlan.All.Count; index++)
        {
            ReportPart part = ReportPlan.All[index];
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"[{index + 1}/{ReportPlan.All.Count}] {part.Name}, {Stopwatch.GetElapsedTime(start).TotalMinutes:0.0} minutes so far"));
            ResultSet? kept = resume ? store.Load(part.Name) : null;
            BenchChoice choice = part.Choice(quick);
            if (kept?.Machine != machine || kept.Command != choice.Command)
            {
                kept = part.Measure(choice);
                store.Save(part.Name, kept);
            }

            sets.Add(part.Name, kept);
        }

        return new ReportData(sets);
    }

    private static ReportData Load(string directory)
    {
        var store = new ResultStore(directory);
        Dictionary<string, ResultSet> sets = [];
        foreach (ReportPart part in ReportPlan.All)
        {
            if (store.Load(part.Name) is { } set)
            {
                sets.Add(part.Name, set);
            }
        }

        return sets.Count > 0
            ? new ReportData(sets)
            : throw new UserErrorException($"There are no results in '{directory}'; ./build.sh report without --from measures them.");
    }
}
