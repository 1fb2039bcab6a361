using System.Text;

namespace FineTune.Problems;

/// <summary>Counts a letter with a running total: <c>count a in bcaba</c> is answered <c>b0 c0 a1 b1 a2#2</c>.</summary>
internal sealed class Counting : IDomain
{
    private const int Letters = 7;

    public string Name => "counting";

    public Example Sample(Random random)
    {
        string word = new(random.GetItems<char>("abc", Letters));
        char wanted = word[random.Next(Letters)];
        var steps = new StringBuilder();
        int count = 0;
        foreach (char letter in word)
        {
            count += letter == wanted ? 1 : 0;
            steps.Append(steps.Length == 0 ? "" : " ").Append(letter).Append(count);
        }

        return new Example($"count {wanted} in {word}", $"{steps}#{count}");
    }
}
