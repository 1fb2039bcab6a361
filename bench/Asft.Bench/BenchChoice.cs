using Asft.Bench.Benchmarks;
using Asft.Bench.Problems;

namespace Asft.Bench;

/// <summary>What was asked for.</summary>
/// <param name="Filter">A table's name, or patterns.</param>
/// <param name="Axis">One axis; null for all.</param>
/// <param name="Quick">Few runs of small problems.</param>
/// <param name="Full">Every problem.</param>
internal sealed record BenchChoice(string[] Filter, string? Axis, bool Quick, bool Full)
{
    private const long QuickLogits = 512 * 32000;

    /// <summary>The command that asks for it.</summary>
    public string Command => "./build.sh bench"
        + $" --filter {string.Join(' ', Filter.Select(pattern => pattern.Contains('*', StringComparison.Ordinal) ? $"'{pattern}'" : pattern))}"
        + (Axis is null ? string.Empty : $" --axis {Axis}")
        + (Full ? " --full" : string.Empty)
        + (Quick ? " --quick" : string.Empty);

    /// <summary>Whether a problem is wanted.</summary>
    public Func<LossShape, bool> Problems
    {
        get
        {
            IReadOnlyList<LossAxis> axes = Axis is null
                ? LossAxes.All
                : [LossAxes.All.FirstOrDefault(axis => axis.Name == Axis) ?? throw new UserErrorException(
                    $"--axis must be one of {string.Join(", ", LossAxes.All.Select(axis => axis.Name))}, not '{Axis}'.")];
            return shape => (Full || axes.Any(axis => axis.Holds(shape))) && !(Quick && shape.Tokens * shape.Vocabulary > QuickLogits);
        }
    }
}
