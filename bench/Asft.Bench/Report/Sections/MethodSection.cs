namespace Asft.Bench.Report.Sections;

/// <summary>How it was measured, and what was not.</summary>
internal static class MethodSection
{
    public static void Write(Page page, ReportData data)
    {
        page.Heading(2, "How this was measured");
        page.Paragraph(
            "- Tables of *must*, *aim* and *measured* come from runs in which every case has its turn in every round, in one process: what the machine does meanwhile "
            + "happens to all of them, and ratios of medians survive it.\n"
            + "- All other tables are BenchmarkDotNet's, in process, one operation per timed iteration, after a warm-up. Before each, untimed, the logits are "
            + "put back, the last gradient is freed, and 20 ms pass, because torch's OpenMP threads go on spinning for some milliseconds after each of its operations.\n"
            + "- Medians of few runs on a machine that is not ours alone: take differences of less than a tenth for none.\n"
            + "- The page has the axes of the space of problems: one or two parameters vary, the others stay. All 1,125 problems, of ten benchmarks each, are there with "
            + "`./build.sh bench --filter '*Loss*' --full`, which takes days; name what you want to know, for example "
            + "`./build.sh bench --filter '*Fused*Dft*262144*' --full`.");
        page.Paragraph(data.Newest.Machine.Cuda == "none"
            ? "No CUDA device was there. Where there is one, the same commands measure it too, and the tables show it in rows of its own."
            : "Rows that say cuda were measured on the CUDA device; memory is measured on the host alone.");
        page.Command("./build.sh report                    # measures all of it, 20 minutes to an hour\n./build.sh report --from out/bench   # writes this page anew from results that are there");
    }
}
