using Asft.Bench.Figures;

namespace Asft.Bench.Results;

/// <summary>What one command measured.</summary>
/// <param name="Command">The command that does it again.</param>
/// <param name="Date">When, UTC.</param>
/// <param name="Machine">Where.</param>
/// <param name="Measurements">The benchmarks' results.</param>
/// <param name="Table">Or a table of figures.</param>
public sealed record ResultSet(
    string Command, DateTime Date, Machine Machine, IReadOnlyList<Measurement> Measurements, FigureSet? Table);
