using System.Text;

namespace FineTune.Problems;

/// <summary>
/// Sorts letters by selection, each step taking the least one out: <c>sort dbac</c> is answered <c>a dbc,b dc,c d,d#abcd</c>.
/// </summary>
internal sealed class Sorting : IDomain
{
    private const int Letters = 5;

    public string Name => "sorting";

    public Example Sample(Random random)
    {
        char[] alphabet = [.. "abcdefghij"];
        random.Shuffle(alphabet);
        string rest = new(alphabet, 0, Letters);
        string prompt = $"sort {rest}";

        var steps = new StringBuilder();
        var sorted = new StringBuilder();
        while (rest.Length > 0)
        {
            char least = rest.Min();
            rest = rest.Replace($"{least}", "", StringComparison.Ordinal);
            steps.Append(sorted.Length == 0 ? "" : ",").Append(least).Append(rest.Length == 0 ? "" : $" {rest}");
            sorted.Append(least);
        }

        return new Example(prompt, $"{steps}#{sorted}");
    }
}
