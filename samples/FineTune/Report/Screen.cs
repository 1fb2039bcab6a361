using FineTune.Problems;
using Spectre.Console;

namespace FineTune.Report;

/// <summary>What is written before and after the work.</summary>
internal static class Screen
{
    /// <summary>A file or a pipe has no width of its own, and Spectre.Console would break lines at 80. Of several processes one writes.</summary>
    public static void Prepare(bool writes)
    {
        if (!writes)
        {
            AnsiConsole.Console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(TextWriter.Null) });
            return;
        }

        if (Console.IsOutputRedirected)
        {
            AnsiConsole.Profile.Width = 100;
        }
    }

    public static void ShowTask(FineTuningTask task, Options options)
    {
        IDomain[] domains = [new Addition(carries: true), new Sorting(), new Logic(), new Counting()];
        var random = new Random(options.Seed);
        AnsiConsole.WriteLine("Pretraining on four kinds of problems, for example");
        foreach (IDomain domain in domains)
        {
            Example example = domain.Sample(random);
            AnsiConsole.WriteLine($"  {domain.Name,-9} {example.Prompt,-17} -> {example.Response}");
        }

        string wrong = options.Data is null ? $", {options.WrongShare:P0} of them wrong" : "";
        AnsiConsole.WriteLine(
            $"Fine-tuning on {task.Demonstrations.Length} demonstrations of {task.Domain.Name}{wrong}; "
            + $"{task.Domain.Examples.Length} held out.");
        AnsiConsole.WriteLine();
    }

    public static void ShowEnd(string chart, TimeSpan elapsed)
    {
        // Not through Spectre.Console, which would break a long path in two.
        Console.WriteLine();
        Console.WriteLine($"Curves: {chart}");
        if (!ChartStyle.CanWrite)
        {
            Console.WriteLine("(They have no labels, because no fonts are installed: on Debian, fonts-dejavu-core is enough.)");
        }

        Console.WriteLine($"Took {elapsed.TotalSeconds:F0} s.");
    }
}
