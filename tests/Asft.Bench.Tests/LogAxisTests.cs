using Asft.Bench.Report.Plots;

namespace Asft.Bench.Tests;

public class LogAxisTests
{
    [Test]
    public void Narrow_ranges_have_steps_within_decades() =>
        Assert.That(LogAxis.Round(0.4, 30), Is.EqualTo(new[] { 0.5, 1, 2, 5, 10, 20 }).Within(1e-9));

    [Test]
    public void Wide_ranges_have_decades() =>
        Assert.That(LogAxis.Round(0.05, 20000), Is.EqualTo(new double[] { 0.1, 1, 10, 100, 1000, 10000 }).Within(1e-9));

    [Test]
    public void Labels_that_would_touch_are_left_out() =>
        Assert.That(LogAxis.Values([32000, 4096, 128256, 151936, 262144, 4096]), Is.EqualTo(new double[] { 4096, 32000, 128256, 262144 }));
}
