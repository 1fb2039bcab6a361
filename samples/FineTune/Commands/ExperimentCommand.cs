using System.CommandLine;
using System.Text;
using FineTune.Report;
using FineTune.Study;

namespace FineTune.Commands;

/// <summary><c>experiment</c>: tests the claims of the paper, and writes a page about it.</summary>
internal static class ExperimentCommand
{
    /// <param name="stop">Cancelled by Ctrl-C.</param>
    public static Command Make(CancellationToken stop)
    {
        var output = new Option<string>("--output")
        {
            HelpName = "dir",
            Description = "Where runs, base models and the dictionary are kept. Runs that are there are not made again.",
            DefaultValueFactory = _ => Path.Combine("out", "experiment"),
        };
        var page = new Option<string?>("--page")
        {
            HelpName = "path",
            Description = "Where to write the page about the results when all runs are made; without it, it is printed.",
        };
        var command = new Command(
            "experiment",
            "Tests the claims of the ASFT paper on small models: every method at every learning rate with every seed, about 45 minutes on 2 cores. "
            + "It may be stopped at any moment, and goes on where it was.")
        {
            output, page,
        };
        command.SetAction(parsed => Run(new StudySettings(), parsed.GetRequiredValue(output), parsed.GetValue(page), stop));
        return command;
    }

    private static int Run(StudySettings settings, string output, string? page, CancellationToken stop)
    {
        Directory.CreateDirectory(output);
        var data = new StudyData(Pronunciations.Fetch(output), settings);
        StudyRun[] runs = new StudyRunner(data, settings, output, Console.WriteLine, stop).Run();
        string text = StudyPage.Of(settings, runs);
        if (page is null)
        {
            Console.WriteLine(text);
        }
        else
        {
            WholeFile.Write(page, Encoding.UTF8.GetBytes(text));
        }

        return 0;
    }
}
