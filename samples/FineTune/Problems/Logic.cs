using System.Text;

namespace FineTune.Problems;

/// <summary>
/// Evaluates and, or and exclusive or from left to right, each step rewriting the expression with its first operation done:
/// <c>logic T&amp;F|T</c> is answered <c>F|T=T#T</c>.
/// </summary>
internal sealed class Logic : IDomain
{
    private const int Terms = 5;

    public string Name => "logic";

    public Example Sample(Random random)
    {
        var expression = new StringBuilder().Append(random.GetItems<char>("TF", 1));
        for (int term = 1; term < Terms; term++)
        {
            expression.Append(random.GetItems<char>("&|^", 1)).Append(random.GetItems<char>("TF", 1));
        }

        string prompt = $"logic {expression}";
        var steps = new StringBuilder();
        while (expression.Length > 1)
        {
            char value = Apply(expression[0], expression[1], expression[2]);
            expression.Remove(0, 3).Insert(0, value);
            steps.Append(steps.Length == 0 ? "" : "=").Append(expression);
        }

        return new Example(prompt, $"{steps}#{expression}");
    }

    private static char Apply(char left, char operation, char right)
    {
        bool a = left == 'T';
        bool b = right == 'T';
        bool value = operation switch { '&' => a && b, '|' => a || b, _ => a ^ b };
        return value ? 'T' : 'F';
    }
}
