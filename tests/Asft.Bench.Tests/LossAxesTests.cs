using Asft.Bench.Benchmarks;
using Asft.Bench.Problems;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using static TorchSharp.torch;

namespace Asft.Bench.Tests;

public class LossAxesTests
{
    private static readonly LossShape[] s_space =
    [
        .. BenchmarkConverter.TypeToBenchmarks(typeof(LossBenchmarks), ManualConfig.CreateEmpty()).BenchmarksCases
            .Select(benchmark => LossBenchmarks.ShapeOf(benchmark)!).Distinct(),
    ];

    [TestCase("objectives", 15)]
    [TestCase("vocabulary", 5)]
    [TestCase("tokens", 5)]
    [TestCase("ignored", 3)]
    public void An_axis_has_every_value_of_what_varies(string name, int problems)
    {
        LossAxis axis = LossAxes.All.Single(a => a.Name == name);
        Assert.That(s_space.Count(shape => shape.Device == "cpu" && axis.Holds(shape)), Is.EqualTo(problems));
    }

    [Test]
    public void The_axis_of_threads_has_one_thread_and_all() => Assert.That(
        s_space.Where(LossAxes.All.Single(a => a.Name == "threads").Holds).Select(shape => shape.Threads),
        Is.EquivalentTo(LossBenchmarks.ThreadCounts).And.Contains(1).And.Contains(Environment.ProcessorCount));

    [Test]
    public void The_whole_space_is_asked_for_with_full_and_an_unknown_axis_is_named()
    {
        Assert.That(s_space.Count(shape => shape.Device == "cpu" && shape.Threads == Environment.ProcessorCount), Is.EqualTo(1125));
        Assert.That(s_space.All(new BenchChoice(["*"], null, Quick: false, Full: true).Problems), Is.True);
        Assert.That(() => new BenchChoice(["*"], "depth", false, false).Problems, Throws.TypeOf<UserErrorException>().With.Message.Contains("'depth'"));
    }

    [Test]
    public void A_problem_too_large_for_the_memory_is_left_out_and_counted()
    {
        LossShape huge = LossAxes.Centre with { Tokens = 1L << 40 };
        Assert.That(huge.PeakBytes, Is.GreaterThan(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes));
        var filter = new LossFilter(_ => true);
        Assert.That(filter.Keeps(huge), Is.False);
        Assert.That(filter.Keeps(LossAxes.Centre with { Tokens = 1 }), Is.True);
        Assert.That(filter.TooLarge, Is.EqualTo(1));
    }

    [Test]
    public void Useful_traffic_counts_what_must_be_read_and_written()
    {
        LossShape shape = new(BenchObjective.AsftForward, ScalarType.BFloat16, 100, 10, 0.5, 1, "cpu");
        Assert.That(shape.UsefulBytes(backward: false), Is.EqualTo(2 * 500 * 2), "half the rows of logits and of reference");
        Assert.That(shape.UsefulBytes(backward: true), Is.EqualTo((2 * 500 * 2) + 2000), "and every row of the gradient");
        Assert.That((shape with { Objective = BenchObjective.Sft }).UsefulBytes(backward: false), Is.EqualTo(500 * 2), "no reference");
    }
}
