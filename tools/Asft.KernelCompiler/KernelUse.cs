using System.Globalization;
using System.Text.RegularExpressions;

namespace Asft.KernelCompiler;

/// <summary>What a kernel takes of a multiprocessor.</summary>
/// <param name="Module">Name of its file, without the ending.</param>
/// <param name="Kernel">Its name.</param>
/// <param name="Architecture">The architecture it was compiled for.</param>
/// <param name="Registers">Registers of a thread.</param>
/// <param name="LocalBytes">Local memory of a thread: its stack frame, spilled registers included.</param>
/// <param name="SpilledBytes">Spilled registers, stored and loaded.</param>
/// <param name="SharedBytes">Shared memory of a block.</param>
/// <param name="Threads">Threads of a block.</param>
internal sealed partial record KernelUse(
    string Module, string Kernel, Architecture Architecture, int Registers, int LocalBytes, int SpilledBytes, int SharedBytes, int Threads)
{
    /// <summary>Below this the kernels have too few warps to hide the memory's latency.</summary>
    private const double LeastOccupancy = 0.5;

    /// <summary>float64 serves for checking; its kernels may take what they need, as long as they spill nothing.</summary>
    private const double LeastOccupancyOfFloat64 = 0.25;

    /// <summary>Theoretical occupancy.</summary>
    public double Occupancy => Architecture.Occupancy(Threads, Registers, SharedBytes);

    /// <summary>What is wrong with it, or null.</summary>
    public string? Complaint =>
        SpilledBytes > 0 ? $"spills {SpilledBytes} bytes"
        : LocalBytes > 0 ? $"uses {LocalBytes} bytes of local memory"
        : Occupancy < (Module == "float64" ? LeastOccupancyOfFloat64 : LeastOccupancy)
            ? string.Create(CultureInfo.InvariantCulture, $"reaches an occupancy of {Occupancy:P0} only")
        : null;

    /// <summary>Reads what the assembler said.</summary>
    /// <param name="module">Name of the file, without the ending.</param>
    /// <param name="architecture">The architecture.</param>
    /// <param name="log">The assembler's output.</param>
    /// <param name="threads">Threads of a block, for each kernel.</param>
    /// <returns>One for each kernel, in order of their names.</returns>
    public static IReadOnlyList<KernelUse> Parse(
        string module, Architecture architecture, string log, IReadOnlyDictionary<string, int> threads)
    {
        var uses = Kernels().Matches(log).Select(match => new KernelUse(
            module,
            match.Groups["kernel"].Value,
            architecture,
            Number(match, "registers"),
            Number(match, "stack"),
            Number(match, "stores") + Number(match, "loads"),
            Number(match, "shared"),
            threads[match.Groups["kernel"].Value])).OrderBy(use => use.Kernel, StringComparer.Ordinal).ToList();
        return uses.Count == threads.Count
            ? uses
            : throw new CompilerException($"{module}: the assembler reports on {uses.Count} kernels of {threads.Count} for {architecture.Name}.");
    }

    /// <summary>Kernels in a fixed order.</summary>
    /// <param name="uses">The kernels.</param>
    /// <returns>The same, by module, kernel and architecture.</returns>
    public static IReadOnlyList<KernelUse> InOrder(IEnumerable<KernelUse> uses) =>
    [
        .. uses.OrderBy(use => use.Module, StringComparer.Ordinal)
            .ThenBy(use => use.Kernel, StringComparer.Ordinal)
            .ThenBy(use => use.Architecture.Name, StringComparer.Ordinal),
    ];

    /// <summary>Threads of a block for each kernel of a PTX text.</summary>
    /// <param name="ptx">The text.</param>
    /// <returns>Threads, by the kernel's name.</returns>
    public static IReadOnlyDictionary<string, int> ThreadsOf(string ptx) => Entries().Matches(ptx).ToDictionary(
        match => match.Groups["kernel"].Value, match => Number(match, "threads"));

    private static int Number(Match match, string group) =>
        match.Groups[group].Success ? int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex(
        @"Compiling entry function '(?<kernel>\w+)'.*?(?<stack>\d+) bytes stack frame, (?<stores>\d+) bytes spill stores, (?<loads>\d+) bytes spill loads.*?Used (?<registers>\d+) registers(, used \d+ barriers)?(, (?<shared>\d+) bytes smem)?",
        RegexOptions.Singleline)]
    private static partial Regex Kernels();

    [GeneratedRegex(@"\.entry (?<kernel>\w+)\(.*?\.maxntid (?<threads>\d+)", RegexOptions.Singleline)]
    private static partial Regex Entries();
}
