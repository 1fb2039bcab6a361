using System.Diagnostics;
using System.Globalization;
using Asft.Bench.Figures;
using Asft.Bench.Measuring;
using Asft.Bench.Problems;
using Asft.Bench.Results;
using static TorchSharp.torch;

namespace Asft.Bench.Pages;

/// <summary>
/// The losses with the pages that the C library takes by itself, and with huge ones. It reads that setting when a process starts, so every
/// measurement is a process of its own, and the settings take turns.
/// </summary>
internal static class PageTable
{
    /// <summary>Name of the command that measures in one process.</summary>
    public const string Command = "pages";

    private const string Huge = "glibc.malloc.hugetlb=1";
    private const string Size = "[1024, 32000]";

    private static readonly string[] s_settings = [string.Empty, Huge];

    /// <summary>Measures.</summary>
    /// <param name="processes">Processes of each setting.</param>
    /// <param name="rounds">Timed rounds of each process.</param>
    /// <exception cref="InvalidOperationException">A process failed.</exception>
    public static FigureSet Measure(int processes, int rounds)
    {
        var all = s_settings.ToDictionary(setting => setting, _ => new List<Dictionary<string, double>>());
        for (int process = 0; process < processes; process++)
        {
            foreach (string setting in s_settings)
            {
                all[setting].Add(MeasureIn(setting, rounds));
            }
        }

        double Median(string setting, string name) => all[setting].Select(times => times[name]).Order().ElementAt(processes / 2);
        List<Figure> figures = [];
        foreach (string setting in s_settings)
        {
            string size = $"{Size}, {(setting.Length == 0 ? "no setting" : setting)}";
            Figure Ratio(string slow, string fast) => Figure.Plain(
                $"{Name(fast)} against {Name(slow)}", size, (Median(setting, slow) / Median(setting, fast)).ToString("0.0", CultureInfo.InvariantCulture) + " x faster");
            figures.Add(Ratio(nameof(LossProblem.Composed), nameof(LossProblem.Fused)));
            figures.Add(Ratio(nameof(LossProblem.Composed), nameof(LossProblem.FusedInPlace)));
            figures.Add(Ratio(nameof(LossProblem.CrossEntropy), nameof(LossProblem.Fused)));
            figures.Add(Ratio(nameof(LossProblem.CrossEntropy), nameof(LossProblem.FusedInPlace)));
        }

        figures.AddRange(all[Huge][0].Keys.Select(name => Figure.Plain(
            $"{Name(name)}, huge pages against none",
            Size,
            (Median(Huge, name) / Median(string.Empty, name)).ToString("0.00", CultureInfo.InvariantCulture) + " x its time")));
        return new FigureSet($"Losses and the size of pages: medians of {processes} processes each, in turn ({Machine.Current.Pages})", figures);
    }

    /// <summary>Measures in this process, and prints a line for each case.</summary>
    /// <param name="rounds">Timed rounds.</param>
    /// <returns>0.</returns>
    public static int Run(int rounds)
    {
        using var problem = new LossProblem(new LossShape(BenchObjective.AsftForward, ScalarType.Float32, 32000, 1024, Ignored: 0, Threads: 2, "cpu"));
        TimedCase[] cases =
        [
            new(nameof(problem.Composed), problem.Composed, problem.Restore),
            new(nameof(problem.CrossEntropy), problem.CrossEntropy, problem.Restore),
            new(nameof(problem.Fused), problem.Fused, problem.Restore),
            new(nameof(problem.FusedInPlace), problem.FusedInPlace, problem.Restore),
        ];
        foreach ((string name, double seconds) in Interleaved.Medians(cases, rounds))
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name}={seconds:R}"));
        }

        return 0;
    }

    private static string Name(string name) => name switch
    {
        nameof(LossProblem.Composed) => "composed",
        nameof(LossProblem.CrossEntropy) => "F.cross_entropy",
        nameof(LossProblem.Fused) => "default",
        _ => "inPlace",
    };

    private static Dictionary<string, double> MeasureIn(string setting, int rounds)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(PageTable).Assembly.Location, Command, rounds.ToString(CultureInfo.InvariantCulture)])
        {
            RedirectStandardOutput = true,
            Environment = { [Machine.Tunables] = setting },
        };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0
            ? output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split('='))
                .ToDictionary(parts => parts[0], parts => double.Parse(parts[1], CultureInfo.InvariantCulture))
            : throw new InvalidOperationException($"'{Command}' with {Machine.Tunables}='{setting}' ended with {process.ExitCode}: {output}");
    }
}
