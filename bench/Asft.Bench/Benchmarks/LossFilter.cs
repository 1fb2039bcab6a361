using Asft.Bench.Problems;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Running;

namespace Asft.Bench.Benchmarks;

/// <summary>Keeps the problems that are wanted and that fit into memory.</summary>
/// <param name="wanted">Whether a problem is wanted.</param>
public sealed class LossFilter(Func<LossShape, bool> wanted) : IFilter
{
    private readonly long _memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 10 * 8;

    /// <summary>How many wanted benchmarks do not fit.</summary>
    public int TooLarge { get; private set; }

    public bool Predicate(BenchmarkCase benchmarkCase) => LossAxes.Shape(benchmarkCase) is not { } shape || Keeps(shape);

    /// <summary>Whether a problem is wanted and fits.</summary>
    public bool Keeps(LossShape shape)
    {
        if (!wanted(shape))
        {
            return false;
        }

        bool fits = shape.Device != "cpu" || shape.PeakBytes < _memory;
        TooLarge += fits ? 0 : 1;
        return fits;
    }
}
