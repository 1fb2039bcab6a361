using System.CommandLine;
using Asft.Bench.Benchmarks;
using Asft.Bench.Results;

namespace Asft.Bench;

/// <summary>The options and their help; a bad one ends the program with one sentence and exit code 2.</summary>
internal static class CommandLine
{
    private const int UserError = 2;

    private static readonly string s_description =
        $"""
        Benchmarks of the losses.

        --filter takes the name of a table, or patterns of BenchmarkDotNet benchmarks:
          {string.Join(", ", Tables.All.Keys)}
                    a table of figures: what must be, what is aimed at, what this machine does
          '*'       patterns are matched against the names that --list prints, parameters included; quote them

        Which problems the benchmarks of losses run on:
          (nothing) those on the axes: one or two parameters vary, the others stay at
                    {LossAxes.Centre.Objective}, {LossAxes.Centre.Type}, V {LossAxes.Centre.Vocabulary}, N 256 to {LossAxes.Centre.Tokens}, no ignored labels, all threads
          --axis    those on one of the axes {string.Join(", ", LossAxes.All.Select(axis => axis.Name))}
          --full    all of them, which takes days: combine it with patterns
          --quick   the smallest on each axis, and few runs of each

        Results are kept in {ResultStore.DefaultDirectory}/last.json.
        """;

    public static int Run(string[] args)
    {
        try
        {
            RootCommand command = Create();
            ParseResult parsed = command.Parse(args.Length == 0 ? ["--help"] : args);
            return parsed.Errors.Count == 0
                ? parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false })
                : throw new UserErrorException(parsed.Errors[0].Message + " (--help lists what there is.)");
        }
        catch (UserErrorException error)
        {
            Console.Error.WriteLine($"error: {error.Message}");
            return UserError;
        }
    }

    private static RootCommand Create()
    {
        var filter = new Option<string[]>("--filter", "-f")
        {
            HelpName = "name",
            Description = "A table, or patterns of benchmarks, for example '*Loss*' or '*Fused*'.",
            AllowMultipleArgumentsPerToken = true,
        };
        var axis = new Option<string?>("--axis") { HelpName = "name", Description = "Only the problems on this axis." };
        var quick = new Option<bool>("--quick") { Description = "Few runs: to see that everything works, not for figures." };
        var full = new Option<bool>("--full") { Description = "Every problem, not only those on the axes." };
        var check = new Option<bool>("--check") { Description = "Regression check that needs no quiet machine; under a minute." };
        var list = new Option<bool>("--list") { Description = "Names the tables and benchmarks." };
        var root = new RootCommand(s_description) { filter, axis, quick, full, check, list };
        root.SetAction(parsed =>
        {
            var choice = new BenchChoice(parsed.GetValue(filter) ?? [], parsed.GetValue(axis), parsed.GetValue(quick), parsed.GetValue(full));
            return parsed.GetValue(list) ? BenchCommand.List()
                : parsed.GetValue(check) ? Checks.CheckCommand.Run()
                : BenchCommand.Run(choice);
        });

        var from = new Option<string?>("--from")
        {
            HelpName = "dir",
            Description = $"Measure nothing: write the page from the results in this directory (for example {ResultStore.DefaultDirectory}).",
        };
        var resume = new Option<bool>("--resume")
        {
            Description = $"Measure only what {ResultStore.DefaultDirectory} does not hold yet for this commit.",
        };
        var brief = new Option<bool>("--quick") { Description = "Few runs of everything: to see that it works. The figures are worth nothing." };
        var gpu = new Option<bool>("--gpu")
        {
            Description = "Only count the CUDA kernels in the PTX virtual machine and write gpu.md, some seconds.",
        };
        var output = new Option<string>("--output")
        {
            HelpName = "dir",
            Description = "Where benchmarks.md, gpu.md and their plots go.",
            DefaultValueFactory = _ => "docs",
        };
        var report = new Command("report", "Measures everything that the report shows, 20 minutes to an hour, and writes docs/benchmarks.md and docs/gpu.md.")
        {
            from, resume, brief, gpu, output,
        };
        report.SetAction(parsed => parsed.GetValue(gpu)
            ? Report.ReportCommand.RunGpu(parsed.GetRequiredValue(output))
            : Report.ReportCommand.Run(parsed.GetValue(from), parsed.GetValue(resume), parsed.GetValue(brief), parsed.GetRequiredValue(output)));
        root.Subcommands.Add(report);

        var rounds = new Argument<int>("rounds");
        var pages = new Command(Pages.PageTable.Command) { rounds };
        pages.Hidden = true;
        pages.SetAction(parsed => Pages.PageTable.Run(parsed.GetValue(rounds)));
        root.Subcommands.Add(pages);
        return root;
    }
}

/// <summary>Something that the user can put right; the message says what.</summary>
/// <param name="message">One sentence for the user.</param>
public sealed class UserErrorException(string message) : Exception(message);
