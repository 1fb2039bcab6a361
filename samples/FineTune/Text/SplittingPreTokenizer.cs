using System.Text.RegularExpressions;
using Microsoft.ML.Tokenizers;

namespace FineTune.Text;

/// <summary>Cuts a text into the pieces that are tokenized each alone: by each pattern in turn, at both ends of its matches.</summary>
/// <param name="patterns">The patterns; without any, the text is one piece.</param>
internal sealed class SplittingPreTokenizer(IReadOnlyList<Regex> patterns) : PreTokenizer
{
    public override IEnumerable<(int Offset, int Length)> PreTokenize(string text)
    {
        var runes = RuneText.Of(text);
        List<(int Start, int End)> pieces = [(0, runes.Runes.Length)];
        foreach (Regex pattern in patterns)
        {
            pieces = Split(runes.Runes, pieces, pattern);
        }

        return pieces.Where(piece => piece.End > piece.Start)
            .Select(piece => (runes.Offset(piece.Start), runes.Offset(piece.End) - runes.Offset(piece.Start)));
    }

    public override IEnumerable<(int Offset, int Length)> PreTokenize(ReadOnlySpan<char> text) => PreTokenize(text.ToString());

    private static List<(int Start, int End)> Split(string text, List<(int Start, int End)> pieces, Regex pattern)
    {
        var split = new List<(int Start, int End)>();
        foreach ((int start, int end) in pieces)
        {
            int last = start;
            foreach (ValueMatch match in pattern.EnumerateMatches(text.AsSpan(start, end - start)))
            {
                split.Add((last, start + match.Index)); // what no match covers is a piece as well
                last = start + match.Index + match.Length;
                split.Add((start + match.Index, last));
            }

            split.Add((last, end));
        }

        return split;
    }
}
