using FineTune.Text;

namespace FineTune.Tests.Text;

/// <summary>Normalization form C, by cases of Unicode's own conformance test and annex 15.</summary>
public class NfcTests
{
    [TestCase("", "")]
    [TestCase("plain \u00E9", "plain \u00E9")]
    [TestCase("e\u0301", "\u00E9")]
    [TestCase("\u1E0A", "\u1E0A")]
    [TestCase("D\u0307\u0323", "\u1E0C\u0307")]
    [TestCase("\u1E0A\u0323", "\u1E0C\u0307")]
    [TestCase("D\u031B\u0323\u0307", "\u1E0C\u031B\u0307")]
    [TestCase("\u00C8\u0304", "\u00C8\u0304")]
    [TestCase("\u1E14\u0300", "\u1E14\u0300")]
    [TestCase("E\u0304\u0300", "\u1E14")]
    [TestCase("\u212B", "\u00C5", Description = "a singleton")]
    [TestCase("\u0958", "\u0915\u093C", Description = "excluded from composition")]
    [TestCase("\u0344", "\u0308\u0301")]
    [TestCase("\u1100\u1161", "\uAC00", Description = "Hangul")]
    [TestCase("\u1100\u1161\u11A8", "\uAC01")]
    [TestCase("\uAC00\u11A8", "\uAC01")]
    [TestCase("a\u0315\u0300\u05AE\u0300\u0062", "\u00E0\u05AE\u0300\u0315b")]
    [TestCase("\u0061\u05AE\u0305\u0300\u0315\u0062", "a\u05AE\u0305\u0300\u0315b", Description = "blocked")]
    [TestCase("\U0001D15E", "\U0001D157\U0001D165")]
    [TestCase("\U00011131\U00011127", "\U0001112E")]
    [TestCase("\uFFFE\u0301", "\uFFFE\u0301", Description = "a noncharacter")]
    public void OneTextGivesTheOther(string text, string normal)
    {
        Assert.That(Nfc.Normalize(text), Is.EqualTo(normal));
        Assert.That(Nfc.Normalize(normal), Is.EqualTo(normal));
    }

    [Test]
    public void ManyMarksTakeNoMoreThanTheirNumberTells() =>
        Assert.That(Nfc.Normalize("a" + new string('\u0301', 200_000) + new string('\u0323', 200_000)), Has.Length.EqualTo(400_000));
}
