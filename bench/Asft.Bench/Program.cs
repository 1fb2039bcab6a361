using Asft.Bench;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

// The tables compare in one interleaved run what a single number could not; everything else is BenchmarkDotNet's.
string? filter = args.SkipWhile(argument => argument is not ("--filter" or "-f")).Skip(1).FirstOrDefault();
if (args.Length == 0 || filter is null)
{
    Console.WriteLine($"""
        Usage: bench --filter NAME [BenchmarkDotNet's own options]

          {string.Join(", ", Tables.All.Keys)}
                     a table of figures: what must be, what is aimed at, what this machine does
          *Loss*     or any other pattern: BenchmarkDotNet, with everything it can do (--help lists its options)
        """);
    return filter is null && args.Length > 0 ? 2 : 0;
}

if (Tables.All.TryGetValue(filter, out Func<int>? table))
{
    return table();
}

IConfig config = DefaultConfig.Instance.AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance));
return BenchmarkSwitcher.FromAssembly(typeof(Tables).Assembly).Run(args, config).Any() ? 0 : 1;
