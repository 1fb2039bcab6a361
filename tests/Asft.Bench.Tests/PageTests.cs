using Asft.Bench.Report;

namespace Asft.Bench.Tests;

public class PageTests
{
    [Test]
    public void Blocks_are_apart_and_tables_aligned()
    {
        var page = new Page();
        page.Heading(2, "Title");
        page.Table(1, ["name", "x"], [["a|b", "1"], ["c", "2"]]);
        Assert.That(page.ToString(), Is.EqualTo("## Title\n\n| name | x |\n| --- | --: |\n| a\\|b | 1 |\n| c | 2 |\n"));
    }

    [Test]
    public void A_row_of_another_length_is_refused() =>
        Assert.That(() => new Page().Table(1, ["name", "x"], [["only"]]), Throws.ArgumentException.With.Message.Contains("only"));

    [TestCase(0, "0")]
    [TestCase(0.0001234, "1.2e-4")]
    [TestCase(0.5, "0.500")]
    [TestCase(9.994, "9.99")]
    [TestCase(9.996, "10.0")]
    [TestCase(99.96, "100")]
    [TestCase(151936, "151,936")]
    public void Numbers_have_three_digits(double value, string text) => Assert.That(Numbers.Three(value), Is.EqualTo(text));

    [Test]
    public void Small_memory_is_not_given_a_false_precision()
    {
        Assert.That(Numbers.Megabytes(40_000), Is.EqualTo("< 0.1"));
        Assert.That(Numbers.Megabytes(65.5e6), Is.EqualTo("65.5"));
        Assert.That(Numbers.Megabytes(null), Is.EqualTo("-"));
    }
}
