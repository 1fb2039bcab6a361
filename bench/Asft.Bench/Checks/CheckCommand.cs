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
        return Run([.. GpuChecks.All(Documents), .. losses.All], Console.Out);
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
}
