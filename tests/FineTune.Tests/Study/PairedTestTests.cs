using FineTune.Study;

namespace FineTune.Tests.Study;

/// <summary>Student's paired test, by the tables of his distribution.</summary>
public class PairedTestTests
{
    [TestCase(1, 12.706)]
    [TestCase(2, 4.303)]
    [TestCase(3, 3.182)]
    [TestCase(4, 2.776)]
    [TestCase(5, 2.571)]
    [TestCase(9, 2.262)]
    [TestCase(30, 2.042)]
    public void TheQuantilesAreThoseOfTheTables(int degrees, double t)
    {
        Assert.That(PairedTest.Quantile(degrees), Is.EqualTo(t).Within(0.0005));
        Assert.That(PairedTest.TwoSided(t, degrees), Is.EqualTo(0.05).Within(1e-4));
    }

    [TestCase(1, 1, 0.5)]
    [TestCase(2, 1.886, 0.2)]
    [TestCase(4, 4.604, 0.01)]
    [TestCase(7, 5.408, 0.001)]
    [TestCase(6, 0, 1)]
    public void SoAreTheProbabilities(int degrees, double t, double p) => Assert.That(PairedTest.TwoSided(t, degrees), Is.EqualTo(p).Within(2e-4));

    /// <summary>Gosset's ten patients, hours of sleep gained with the one drug more than with the other (Student 1908).</summary>
    [Test]
    public void StudentsSleepers()
    {
        PairedTest test = PairedTest.Of([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]);
        Assert.That(test.Mean, Is.EqualTo(1.58).Within(1e-9));
        Assert.That(test.Half, Is.EqualTo((2.4598858 - 0.7001142) / 2).Within(1e-5));
        Assert.That(test.P, Is.EqualTo(0.002833).Within(1e-6));
        Assert.That(test.Significant);
    }

    [Test]
    public void EqualDifferencesAreCertain()
    {
        Assert.That(PairedTest.Of([0, 0, 0]), Is.EqualTo(new PairedTest(0, 0, 1)));
        Assert.That(PairedTest.Of([1, 1, 1]), Is.EqualTo(new PairedTest(1, 0, 0)));
    }
}
