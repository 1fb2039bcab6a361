using Asft.Bench.Checks;

namespace Asft.Bench.Tests;

public class CheckTests
{
    [TestCase(20, true, new double[] { 20 }, 20, true, 1)]
    [TestCase(20, true, new double[] { 19.9 }, 19.9, false, 1)]
    [TestCase(20, true, new double[] { 5, 18, 25, 30 }, 25, true, 3)]
    [TestCase(20, true, new double[] { 5, 18, 7 }, 18, false, 3)]
    [TestCase(8, false, new double[] { 8 }, 8, true, 1)]
    [TestCase(8, false, new double[] { 9, 8.5 }, 8.5, false, 2)]
    [TestCase(8, false, new double[] { 9, 3 }, 3, true, 2)]
    [TestCase(8, false, new double[] { double.NaN }, double.NaN, false, 1)]
    public void The_best_attempt_counts(double bound, bool isLeast, double[] attempts, double measured, bool passed, int used)
    {
        int next = 0;
        var check = new Check("name", bound, isLeast, "x", attempts.Length, () => attempts[next++]);
        Assert.That(check.Judge(), Is.EqualTo((measured, passed)));
        Assert.That(next, Is.EqualTo(used));
    }

    [Test]
    public void One_missed_check_makes_the_exit_code_1()
    {
        Check good = new("fast enough", 2, true, "x", 1, () => 3);
        Check bad = new("memory", 10, false, "MB", 1, () => 12);
        var output = new StringWriter();
        Assert.That(CheckCommand.Run([good], output), Is.EqualTo(0));
        Assert.That(CheckCommand.Run([good, bad], output), Is.EqualTo(1));
        Assert.That(output.ToString(), Does.Contain("FAILED memory: 12.0 MB (at most 10.0)"));
        Assert.That(output.ToString(), Does.Contain("ok     fast enough: 3.00 x (at least 2.00)"));
    }
}
