using Asft.Bench.Problems;
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

    public static IEnumerable<int> ThreadCounts { get; } = new[] { 1, 2, Environment.ProcessorCount }.Distinct().Order();

    public static IEnumerable<string> Devices => cuda.is_available() ? ["cpu", "cuda"] : ["cpu"];

    /// <summary>The problem of a benchmark; null for a benchmark of something else.</summary>
    public static LossShape? Shape(BenchmarkCase benchmark) => benchmark.Descriptor.Type != typeof(LossBenchmarks)
        ? null
        : new LossShape(
            (BenchObjective)benchmark.Parameters[nameof(LossBenchmarks.Objective)],
            (ScalarType)benchmark.Parameters[nameof(LossBenchmarks.Type)],
            (int)benchmark.Parameters[nameof(LossBenchmarks.Vocabulary)],
            (int)benchmark.Parameters[nameof(LossBenchmarks.Tokens)],
            (double)benchmark.Parameters[nameof(LossBenchmarks.Ignored)],
            (int)benchmark.Parameters[nameof(LossBenchmarks.Threads)],
            (string)benchmark.Parameters[nameof(LossBenchmarks.Device)]);
}
