using Asft.Bench.Problems;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Running;
using static TorchSharp.torch;

namespace Asft.Bench.Benchmarks;

/// <summary>One direction through the space of problems: only one or two parameters vary, the others stay where they mostly are.</summary>
/// <param name="Name">What <c>--axis</c> takes.</param>
/// <param name="Holds">Whether a problem lies on it.</param>
public sealed record LossAxis(string Name, Func<LossShape, bool> Holds);

/// <summary>
/// The whole space is 1,125 problems of ten benchmarks for each thread count and device, which takes days; its axes take minutes.
/// </summary>
public static class LossAxes
{
    /// <summary>Where the axes meet, but for the number of tokens, which is smaller on some so that they take less time.</summary>
    public static LossShape Centre { get; } =
        new(BenchObjective.AsftForward, ScalarType.Float32, 32000, 1024, 0, Environment.ProcessorCount, "cpu");

    public static IReadOnlyList<LossAxis> All { get; } =
    [
        new("objectives", shape => shape with { Objective = Centre.Objective, Type = Centre.Type } == Centre with { Tokens = 512, Device = shape.Device }),
        new("vocabulary", shape => shape with { Vocabulary = Centre.Vocabulary } == Centre with { Tokens = 256, Device = shape.Device }),
        new("tokens", shape => shape with { Tokens = Centre.Tokens } == Centre with { Device = shape.Device }),
        new("ignored", shape => shape with { Ignored = Centre.Ignored } == Centre with { Tokens = 512, Device = shape.Device }),
        new("threads", shape => shape with { Threads = Centre.Threads } == Centre with { Tokens = 512 }),
    ];
}

/// <summary>Keeps the problems that are wanted and that fit into memory.</summary>
/// <param name="wanted">Whether a problem is wanted.</param>
public sealed class LossFilter(Func<LossShape, bool> wanted) : IFilter
{
    private readonly long _memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 10 * 8;

    /// <summary>How many wanted benchmarks do not fit.</summary>
    public int TooLarge { get; private set; }

    public bool Predicate(BenchmarkCase benchmarkCase) => LossBenchmarks.ShapeOf(benchmarkCase) is not { } shape || Keeps(shape);

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
