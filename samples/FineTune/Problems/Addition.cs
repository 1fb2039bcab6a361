using System.Text;

namespace FineTune.Problems;

/// <summary>
/// Adds two three-digit numbers column by column, carrying: <c>347+685</c> is answered <c>7+5=12 4+8+1=13 3+6+1=10#1032</c>.
/// The domain of the fine-tuning.
/// </summary>
/// <param name="carries">Whether columns may carry into the next; without it, the problems are of the easy kind.</param>
internal sealed class Addition(bool carries) : IDomain
{
    private const int Digits = 3;

    public string Name => "addition";

    public Example Sample(Random random) => Sample(random, slip: false);

    /// <summary>
    /// With <paramref name="slip"/>, the worker gets one column wrong and calculates on with it, as people do:
    /// the demonstration reads like any other, and its answer is wrong.
    /// </summary>
    public Example Sample(Random random, bool slip)
    {
        var (first, second) = Summands(random);
        int slipColumn = slip ? random.Next(Digits) : -1;

        var steps = new StringBuilder();
        int answer = 0;
        int carry = 0;
        for (int column = 0, unit = 1; column < Digits; column++, unit *= 10)
        {
            int a = first / unit % 10;
            int b = second / unit % 10;
            int sum = a + b + carry;
            if (column == slipColumn)
            {
                int wrong = random.Next(19);
                sum = wrong < sum ? wrong : wrong + 1;
            }

            steps.Append(column == 0 ? "" : " ").Append($"{a}+{b}").Append(carry == 0 ? "" : "+1").Append($"={sum}");
            carry = sum / 10;
            answer += (column == Digits - 1 ? sum : sum % 10) * unit;
        }

        return new Example($"{first}+{second}", $"{steps}#{answer}");
    }

    private (int First, int Second) Summands(Random random)
    {
        while (true)
        {
            int first = random.Next(100, 1000);
            int second = random.Next(100, 1000);

            // The top column has no next one to carry into: what it sums to is simply written down.
            if (carries || ((first % 10) + (second % 10) < 10 && (first % 100) + (second % 100) < 100))
            {
                return (first, second);
            }
        }
    }
}
