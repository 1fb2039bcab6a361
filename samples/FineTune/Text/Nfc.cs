using System.Text;
using HarfBuzzSharp;

namespace FineTune.Text;

/// <summary>
/// Unicode's normalization form C. .NET's own needs the ICU libraries, which small systems lack, and refuses texts with noncharacters;
/// the tables here are HarfBuzz's, which comes with the program.
/// </summary>
internal static class Nfc
{
    private const char FirstThatCanChange = '\u0300'; // every character below is its own normal form, whatever follows that is below too

    public static string Normalize(string text)
    {
        if (!text.AsSpan().ContainsAnyInRange(FirstThatCanChange, char.MaxValue))
        {
            return text;
        }

        var marked = new List<(uint Rune, int Class)>(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            Decompose((uint)rune.Value, marked);
        }

        Order(marked);
        return Compose(marked);
    }

    private static void Decompose(uint rune, List<(uint Rune, int Class)> output)
    {
        if (!UnicodeFunctions.Default.TryDecompose(rune, out uint first, out uint second))
        {
            output.Add((rune, (int)UnicodeFunctions.Default.GetCombiningClass(rune)));
            return;
        }

        Decompose(first, output);
        if (second != 0)
        {
            output.Add((second, (int)UnicodeFunctions.Default.GetCombiningClass(second))); // the second is whole by Unicode's rules
        }
    }

    /// <summary>Sorts each run of marks by class; marks of one class keep their order.</summary>
    private static void Order(List<(uint Rune, int Class)> marked)
    {
        for (int start = 0; start < marked.Count; start++)
        {
            int end = start;
            while (end < marked.Count && marked[end].Class != 0)
            {
                end++;
            }

            if (end - start > 1)
            {
                (uint Rune, int Class)[] sorted = [.. marked.GetRange(start, end - start).OrderBy(mark => mark.Class)];
                for (int index = 0; index < sorted.Length; index++)
                {
                    marked[start + index] = sorted[index];
                }
            }

            start = end;
        }
    }

    /// <summary>Joins each character with the last starter, unless something between them has its class or a higher one.</summary>
    private static string Compose(List<(uint Rune, int Class)> marked)
    {
        const int Nothing = -1;
        var output = new List<uint>(marked.Count);
        int starter = Nothing;
        int between = Nothing; // class of the last character after the starter that was not joined with it
        foreach ((uint rune, int combiningClass) in marked)
        {
            if (starter != Nothing
                && between < combiningClass | between == Nothing
                && UnicodeFunctions.Default.TryCompose(output[starter], rune, out uint composed))
            {
                output[starter] = composed;
                continue;
            }

            if (combiningClass == 0)
            {
                (starter, between) = (output.Count, Nothing);
            }
            else
            {
                between = combiningClass;
            }

            output.Add(rune);
        }

        var text = new StringBuilder(output.Count);
        foreach (uint rune in output)
        {
            text.Append(new Rune(rune));
        }

        return text.ToString();
    }
}
