using System.Text.RegularExpressions;

namespace Asft.KernelCompiler;

/// <summary>
/// Machine instructions for each logit in the loops that go through a row, counted in a disassembly: the loop that reads only, and the one
/// that also writes. Every instruction between a loop's ends counts, also those of a branch that is hardly ever taken.
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
        string? kernel = null;
        var code = new SassCode();
        foreach (string line in sass.Split('\n').Append(".text.end:"))
        {
            if (Start().Match(line) is { Success: true } start)
            {
                if (kernel is not null && Of(code, size, Matrices(kernel)) is { } cost)
                {
                    costs[kernel] = cost;
                }

                (kernel, code) = (start.Groups["kernel"].Value, new SassCode());
            }
            else
            {
                code.Add(line);
            }
        }

        return costs;
    }

    /// <summary>How many matrices a reading loop reads: a reference that is not needed, or is known by its top entries, is not read.</summary>
    private static int Matrices(string kernel) =>
        kernel.Contains("_ForwardKl", StringComparison.Ordinal) || kernel.Contains("_ReverseKl", StringComparison.Ordinal) || kernel.Contains("_Sum", StringComparison.Ordinal) ? 2 : 1;

    private static LoopCost? Of(SassCode code, int size, int matrices)
    {
        double? reading = null;
        double? writing = null;
        foreach (SassLoop loop in code.RowLoops())
        {
            if (loop.Stores > 0 && loop.Loads > 0)
            {
                writing = Least(writing, (double)loop.Instructions * size / (loop.Stores * VectorBytes));
            }
            else if (loop.Loads > 0)
            {
                reading = Least(reading, (double)loop.Instructions * size * matrices / (loop.Loads * VectorBytes));
            }
        }

        return reading is null && writing is null ? null : new LoopCost(reading, writing);
    }

    private static double Least(double? known, double value) => Math.Min(known ?? double.PositiveInfinity, value);

    [GeneratedRegex(@"^\.text\.(?<kernel>\w+):")]
    private static partial Regex Start();
}
