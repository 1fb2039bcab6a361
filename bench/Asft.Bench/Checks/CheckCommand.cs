using Asft.Bench.Gpu;
using Asft.Bench.Report;

namespace Asft.Bench.Checks;

/// <summary><c>bench --check</c>: a line for each check.</summary>
internal static class CheckCommand
{
    private const string Documents = "docs";

    /// <summary>Measures and judges.</summary>
    /// <returns>0 when every check passes, otherwise 1.</returns>
    public static int Run()
    {
        using var losses = new LossChecks();
        return Run([.. Gpu(), .. losses.All], Console.Out);
    }

    /// <summary>Judges checks, one line each.</summary>
    /// <param name="checks">The checks.</param>
    /// <param name="output">Where the lines go.</param>
    /// <returns>0 when every check passes, otherwise 1.</returns>
    public static int Run(IEnumerable<Check> checks, TextWriter output)
    {
        int failed = 0;
        int passed = 0;
        foreach (Check check in checks)
        {
            (double measured, bool holds) = check.Judge();
            output.WriteLine(
                $"{(holds ? "ok    " : "FAILED")} {check.Name}: {Numbers.Three(measured)} {check.Unit} ({(check.IsLeast ? "at least" : "at most")} {Numbers.Three(check.Bound)})");
            failed += holds ? 0 : 1;
            passed += holds ? 1 : 0;
        }

        output.WriteLine($"{passed} of {passed + failed} checks passed.");
        return failed == 0 ? 0 : 1;
    }

    /// <summary>What the CUDA kernels promise, counted in the virtual machine; exact, so that no bound needs room.</summary>
    private static Check[] Gpu()
    {
        IReadOnlyList<GpuCounts> counts = GpuTable.Count();
        return
        [
            new("figures of the CUDA kernels that are missed", 0, false, "figures", 1, () => GpuTable.Figures(counts).Figures.Count(figure => !figure.Holds)),
            new($"{Documents}/{GpuPage.FileName} out of date with their counts ({GpuPage.Command} writes it)", 0, false, "pages", 1, () => GpuPage.IsCurrent(counts, Documents) ? 0 : 1),
        ];
    }
}
