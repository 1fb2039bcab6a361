using Asft.Bench.Fitting;

namespace Asft.Bench.Tests;

public class PowerFitTests
{
    [TestCase(3, 1.0)]
    [TestCase(0.25, -0.5)]
    [TestCase(7, 0.0)]
    public void Points_on_a_power_law_give_it_back(double factor, double exponent)
    {
        PowerFit fit = PowerFit.Of([.. new double[] { 1, 3, 10, 200 }.Select(x => (x, factor * Math.Pow(x, exponent)))]);
        Assert.That(fit.Exponent, Is.EqualTo(exponent).Within(1e-12));
        Assert.That(fit.Factor, Is.EqualTo(factor).Within(1e-12 * factor));
        Assert.That(fit.RSquared, Is.EqualTo(1).Within(1e-9));
        Assert.That(fit.At(50), Is.EqualTo(factor * Math.Pow(50, exponent)).Within(1e-9));
    }

    [Test]
    public void Scatter_lowers_r_squared_and_leaves_the_middle_alone()
    {
        // log y is off by +d, -2d, +d at evenly spaced log x, which changes no slope.
        double d = 0.1;
        PowerFit fit = PowerFit.Of([(1, Math.Exp(d)), (Math.E, Math.Exp(1 - (2 * d))), (Math.E * Math.E, Math.Exp(2 + d))]);
        Assert.That(fit.Exponent, Is.EqualTo(1).Within(1e-12));
        Assert.That(fit.RSquared, Is.EqualTo(2 / (2 + (6 * d * d))).Within(1e-12));
    }

    [Test]
    public void Points_without_a_fit_are_refused_and_named()
    {
        Assert.That(() => PowerFit.Of([(1, 2), (0, 3)]), Throws.ArgumentException.With.Message.Contains("(0, 3)"));
        Assert.That(() => PowerFit.Of([(1, 2), (2, -3)]), Throws.ArgumentException.With.Message.Contains("(2, -3)"));
        Assert.That(() => PowerFit.Of([(2, 2), (2, 3)]), Throws.ArgumentException.With.Message.Contains("two different x"));
    }
}
