using Asft.Bench.Benchmarks;
using Asft.Bench.Figures;
using Asft.Bench.Results;
using Asft.Bench.Running;
using BenchmarkDotNet.Reports;

namespace Asft.Bench;

/// <summary><c>bench --filter</c>: a table, or BenchmarkDotNet.</summary>
internal static class BenchCommand
{
    /// <summary>Name of what was measured last; the report has names of its own, so that half a measurement never gets into it.</summary>
    private const string Last = "last";

    /// <summary>Measures, prints, and keeps the results.</summary>
    /// <returns>0, or 1 when a figure is not as it must be.</returns>
    public static int Run(BenchChoice choice)
    {
        if (choice.Filter.Length == 0)
        {
            throw new UserErrorException($"--filter is missing: a table ({string.Join(", ", Tables.All.Keys)}) or patterns such as '*Loss*'.");
        }

        var store = new ResultStore(ResultStore.DefaultDirectory);
        if (choice.Filter is [string name] && Tables.All.TryGetValue(name, out Func<bool, FigureSet>? table))
        {
            Machine machine = Machine.Current; // what it says of devices changes once they are used
            FigureSet figures = table(choice.Quick);
            store.Save(Last, new ResultSet(choice.Command, DateTime.UtcNow, machine, [], figures));
            return FigureTable.Print(figures);
        }

        (ResultSet results, Summary[] summaries) = Measure(choice);
        store.Save(Last, results);
        foreach (Summary summary in summaries)
        {
            Suite.Print(summary);
        }

        return 0;
    }

    /// <summary>Runs the benchmarks that were asked for.</summary>
    /// <exception cref="UserErrorException">There are none.</exception>
    public static (ResultSet Results, Summary[] Summaries) Measure(BenchChoice choice)
    {
        Machine machine = Machine.Current;
        var losses = new LossFilter(choice.Problems);
        Summary[] summaries = Suite.Run(choice.Axis ?? string.Join(' ', choice.Filter), choice.Filter, losses, choice.Quick);
        if (losses.TooLarge > 0)
        {
            Console.WriteLine($"{losses.TooLarge} benchmarks were left out: their problems do not fit into this machine's memory.");
        }

        return summaries.Length > 0
            ? (new ResultSet(choice.Command, DateTime.UtcNow, machine, Suite.Measurements(summaries), null), summaries)
            : throw new UserErrorException(
                $"No benchmark matches {string.Join(' ', choice.Filter)}{(choice.Axis is null ? string.Empty : " on the axis " + choice.Axis)}; "
                + "--list names them. Patterns match whole names: '*Fused*', not 'Fused'.");
    }

    /// <summary>Prints the names.</summary>
    public static int List()
    {
        Console.WriteLine("Tables");
        foreach (string name in Tables.All.Keys)
        {
            Console.WriteLine($"  {name}");
        }

        Console.WriteLine("Benchmarks");
        foreach (string name in Suite.Names)
        {
            Console.WriteLine($"  {name}");
        }

        return 0;
    }
}
