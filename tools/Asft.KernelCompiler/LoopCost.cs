using System.Text.RegularExpressions;

namespace Asft.KernelCompiler;

/// <summary>
/// Machine instructions for each logit in the loops that go through a row, counted in a disassembly: the loop that reads only, and the one
/// that also writes.
/// </summary>
/// <param name="Reading">Of the reading loop, for each logit; null where there is none.</param>
/// <param name="Writing">Of the writing loop.</param>
internal sealed partial record LoopCost(double? Reading, double? Writing)
{
    /// <summary>Bytes of the widest access; loops of the main part of a row have these.</summary>
    private const int VectorBytes = 16;

    /// <summary>Both loops.</summary>
    public double Total => (Reading ?? 0) + (Writing ?? 0);

    /// <summary>Reads a disassembly.</summary>
    /// <param name="module">Name of the module, which tells the size of a logit.</param>
    /// <param name="sass">What nvdisasm wrote.</param>
    /// <returns>The kernels that go through rows, by name.</returns>
    public static IReadOnlyDictionary<string, LoopCost> Read(string module, string sass)
    {
        int size = module switch { "float64" => 8, "float32" => 4, _ => 2 };
        var costs = new Dictionary<string, LoopCost>();
        foreach (string section in sass.Split("\n.section", StringSplitOptions.None))
        {
            Match name = Section().Match(section);
            if (name.Success && Of(section, size, Matrices(name.Groups["kernel"].Value)) is { } cost)
            {
                costs[name.Groups["kernel"].Value] = cost;
            }
        }

        return costs;
    }

    /// <summary>How many matrices a kernel reads at a time: a reference that is not needed, or is known by its top entries, is not read.</summary>
    private static int Matrices(string kernel) =>
        kernel.Contains("_ForwardKl", StringComparison.Ordinal) || kernel.Contains("_ReverseKl", StringComparison.Ordinal) || kernel.Contains("_Sum", StringComparison.Ordinal) ? 2 : 1;

    private static LoopCost? Of(string section, int size, int matrices)
    {
        string[] lines = section.Split('\n');
        var labels = new Dictionary<string, int>();
        var jumps = new List<(int From, string To)>();
        var code = new List<string>();
        foreach (string line in lines)
        {
            if (Label().Match(line) is { Success: true } label)
            {
                labels[label.Groups["label"].Value] = code.Count;
            }
            else if (Instruction().Match(line) is { Success: true } instruction)
            {
                if (Jump().Match(line) is { Success: true } jump)
                {
                    jumps.Add((code.Count, jump.Groups["label"].Value));
                }

                code.Add(instruction.Groups["text"].Value);
            }
        }

        List<(int First, int Last)> loops =
            [.. jumps.Where(jump => labels.TryGetValue(jump.To, out int at) && at <= jump.From).Select(jump => (labels[jump.To], jump.From)).Distinct()];
        IEnumerable<(int First, int Last)> inner = loops.Where(loop => !loops.Any(other =>
            other != loop && other.First >= loop.First && other.Last <= loop.Last));
        double? reading = null;
        double? writing = null;
        foreach ((int first, int last) in inner)
        {
            List<string> body = code[first..(last + 1)];
            int read = Bytes(body, "LDG");
            int written = Bytes(body, "STG");
            double count = body.Count(text => !text.StartsWith("NOP", StringComparison.Ordinal));
            if (written > 0)
            {
                writing = Least(writing, count * size / written);
            }
            else if (read > 0)
            {
                reading = Least(reading, count * size * matrices / read);
            }
        }

        return reading is null && writing is null ? null : new LoopCost(reading, writing);
    }

    private static double Least(double? known, double value) => Math.Min(known ?? double.PositiveInfinity, value);

    /// <summary>Bytes of the vector accesses of a loop; scalar ones belong to the edges of a row, or to one number of it.</summary>
    private static int Bytes(List<string> body, string opcode) =>
        body.Count(text => text.Contains(opcode, StringComparison.Ordinal) && text.Contains(".128", StringComparison.Ordinal)) * VectorBytes;

    [GeneratedRegex(@"^\s*\.text\.(?<kernel>\w+)")]
    private static partial Regex Section();

    [GeneratedRegex(@"^(?<label>\.L_x_\d+):")]
    private static partial Regex Label();

    [GeneratedRegex(@"^\s*/\*[0-9a-f]{4,}\*/\s+(?<text>[^;]+);")]
    private static partial Regex Instruction();

    [GeneratedRegex(@"BRA(\.\w+)*\s+.*`\((?<label>\.L_x_\d+)\)")]
    private static partial Regex Jump();
}
