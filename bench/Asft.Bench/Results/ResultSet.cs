using Asft.Bench.Figures;
using Asft.Bench.Problems;

namespace Asft.Bench.Results;

/// <summary>What one command measured.</summary>
/// <param name="Command">The command that does it again.</param>
/// <param name="Date">When, UTC.</param>
/// <param name="Machine">Where.</param>
/// <param name="Measurements">The benchmarks' results.</param>
/// <param name="Table">Or a table of figures.</param>
public sealed record ResultSet(
    string Command, DateTime Date, Machine Machine, IReadOnlyList<Measurement> Measurements, FigureSet? Table);

/// <summary>What was measured of one benchmark on one problem.</summary>
/// <param name="Benchmark">Method of the benchmark class.</param>
/// <param name="Shape">The problem of a loss on logits; null for a loss on hidden states.</param>
/// <param name="Tokens">N.</param>
/// <param name="Seconds">Median time.</param>
/// <param name="LowerQuartile">A quarter of the runs were faster.</param>
/// <param name="UpperQuartile">A quarter of the runs were slower.</param>
/// <param name="Runs">How many runs were timed.</param>
/// <param name="PeakBytes">Peak resident memory beyond what was there before; null where it could not be measured.</param>
public sealed record Measurement(
    string Benchmark,
    LossShape? Shape,
    long Tokens,
    double Seconds,
    double LowerQuartile,
    double UpperQuartile,
    int Runs,
    double? PeakBytes);
