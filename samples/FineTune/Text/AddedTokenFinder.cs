using System.Buffers;

namespace FineTune.Text;

/// <summary>Finds added tokens in a text: the first one, and of several that begin there the longest; then on behind it.</summary>
internal sealed class AddedTokenFinder
{
    private readonly SearchValues<string> anyOf;
    private readonly AddedToken[] longestFirst;

    public AddedTokenFinder(IEnumerable<AddedToken> tokens)
    {
        longestFirst = [.. tokens.OrderByDescending(token => token.Content.Length)];
        anyOf = SearchValues.Create([.. longestFirst.Select(token => token.Content)], StringComparison.Ordinal);
    }

    public List<(int Offset, AddedToken Token)> Find(string text)
    {
        var found = new List<(int Offset, AddedToken Token)>();
        int start = 0;
        while (text.AsSpan(start).IndexOfAny(anyOf) is >= 0 and int distance)
        {
            int offset = start + distance;
            AddedToken token = longestFirst.First(token => text.AsSpan(offset).StartsWith(token.Content));
            found.Add((offset, token));
            start = offset + token.Content.Length;
        }

        return found;
    }
}
