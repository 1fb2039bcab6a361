using System.Globalization;
using System.Text;

namespace FineTune.Text;

/// <summary>
/// A text in which each rune is one character, for .NET's regular expressions, which see a rune beyond the basic plane as two surrogates of
/// no use. Such a rune is replaced by a character of the basic plane of the same category, which is all that a pre-tokenizer asks of it.
/// </summary>
internal sealed class RuneText
{
    // Of each category a character that no pattern names, and that no case folding makes equal to one that a pattern names.
    private static readonly Dictionary<UnicodeCategory, char> s_stand = new()
    {
        [UnicodeCategory.UppercaseLetter] = '\u10A0',
        [UnicodeCategory.LowercaseLetter] = '\u1D02',
        [UnicodeCategory.TitlecaseLetter] = '\u1F88',
        [UnicodeCategory.ModifierLetter] = '\u02B9',
        [UnicodeCategory.OtherLetter] = '\u0E01',
        [UnicodeCategory.NonSpacingMark] = '\u0300',
        [UnicodeCategory.SpacingCombiningMark] = '\u0903',
        [UnicodeCategory.EnclosingMark] = '\u0488',
        [UnicodeCategory.DecimalDigitNumber] = '\u0E50',
        [UnicodeCategory.LetterNumber] = '\u16EE',
        [UnicodeCategory.OtherNumber] = '\u09F4',
        [UnicodeCategory.ConnectorPunctuation] = '\u203F',
        [UnicodeCategory.DashPunctuation] = '\u058A',
        [UnicodeCategory.OpenPunctuation] = '\u0F3A',
        [UnicodeCategory.ClosePunctuation] = '\u0F3B',
        [UnicodeCategory.InitialQuotePunctuation] = '\u2E02',
        [UnicodeCategory.FinalQuotePunctuation] = '\u2E03',
        [UnicodeCategory.OtherPunctuation] = '\u0E4F',
        [UnicodeCategory.MathSymbol] = '\u2200',
        [UnicodeCategory.CurrencySymbol] = '\u0E3F',
        [UnicodeCategory.ModifierSymbol] = '\u02C2',
        [UnicodeCategory.OtherSymbol] = '\u2300',
        [UnicodeCategory.Format] = '\u2064',
        [UnicodeCategory.PrivateUse] = '\uE000',
        [UnicodeCategory.OtherNotAssigned] = '\u0378',
    };

    private readonly int[]? offsets; // of each rune, in the text; null where runes and characters are the same

    private RuneText(string runes, int[]? offsets) => (Runes, this.offsets) = (runes, offsets);

    /// <summary>One character for each rune of the text.</summary>
    public string Runes { get; }

    public static RuneText Of(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
        {
            return new RuneText(text, null);
        }

        var runes = new StringBuilder(text.Length);
        var offsets = new List<int>(text.Length + 1);
        int offset = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            offsets.Add(offset);
            offset += rune.Utf16SequenceLength;
            runes.Append(rune.IsBmp ? (char)rune.Value : s_stand[Rune.GetUnicodeCategory(rune)]);
        }

        offsets.Add(offset);
        return new RuneText(runes.ToString(), [.. offsets]);
    }

    /// <summary>Where rune number <paramref name="rune"/> starts in the text; the number of runes gives the text's end.</summary>
    public int Offset(int rune) => offsets is null ? rune : offsets[rune];
}
