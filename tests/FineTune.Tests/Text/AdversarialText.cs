using System.Globalization;
using System.Text;

namespace FineTune.Tests.Text;

/// <summary>Random texts of what tokenizers get wrong: runs of space, contractions, marks out of order, letters and digits of all planes.</summary>
internal static class AdversarialText
{
    private static readonly string[] s_parts =
    [
        " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n", "\u00A0", "\u2003", "\u2028", "\u3000", "\u0085", "\u200B", "\u180E", "\uFEFF",
        "'s", "'S", "'t", "'re", "'VE", "'ll", "'d", "'M", "’s", "don't", "I'LL", "'\u017F", "\u212A", "İ", "ß", "ẞ",
        "the", " quick", "Fox", "HTTP", "x", "ing", "tion", "supercalifragilisticexpialidocious", "naïve", "Ελλάδα", "привет", "שלום", "नमस्ते",
        "你好世界", "こんにちは", "한국어", "ไทย", "e\u0301", "a\u0323\u0301", "a\u0301\u0323", "\u1100\u1161\u11A8", "\u0958", "\u0344", "\u2126", "Å",
        "0", "1", "12", "1234567", "3.14159", "٣", "Ⅷ", "½", "\U0001D7D8\U0001D7D9", "\U00010107", "\U00011066", "²",
        "\U0001D5D4", "\U00010400", "\U00012000", "\U00020BB7", "\U0001F600", "\U0001F468\u200D\U0001F469\u200D\U0001F467", "\U0001F1E9\U0001F1EA", "\u2764\uFE0F",
        "!", "...", "?!", "--", "==", "{}", "();", "</", "/>", "#", "@", "_", "$", "%", "\\n", "\"", "`", "~~~", "a_b", "foo(bar)", "x=1;", "<|", "|>", "\u0001", "\u007F",
    ];

    /// <summary>A text of up to 24 parts, some of them from <paramref name="special"/>.</summary>
    public static string Next(Random random, IReadOnlyList<string> special)
    {
        var text = new StringBuilder();
        int parts = random.Next(1, 25);
        for (int part = 0; part < parts; part++)
        {
            switch (random.Next(10))
            {
                case 0:
                    text.Append(special[random.Next(special.Count)]);
                    break;
                case 1:
                    string whole = special[random.Next(special.Count)];
                    text.Append(whole, 0, random.Next(whole.Length));
                    break;
                case 2:
                    text.Insert(text.Length, s_parts[random.Next(s_parts.Length)], random.Next(1, 40));
                    break;
                case 3:
                    text.Append(AnyRune(random));
                    break;
                case 4:
                    text.Append((char)random.Next(1, 0x250));
                    break;
                default:
                    text.Append(s_parts[random.Next(s_parts.Length)]);
                    break;
            }
        }

        return text.ToString();
    }

    /// <summary>Any assigned character, from the first three planes.</summary>
    private static Rune AnyRune(Random random)
    {
        while (true)
        {
            int value = random.Next(1, random.Next(2) == 0 ? 0x10000 : 0x30000);
            if (Rune.TryCreate(value, out Rune rune) && Rune.GetUnicodeCategory(rune) != UnicodeCategory.OtherNotAssigned)
            {
                return rune;
            }
        }
    }
}
