using System.Text.RegularExpressions;

namespace Asft.KernelCompiler;

/// <summary>A loop of machine code, on the shortest way round that does all of its 16-byte accesses.</summary>
/// <param name="Instructions">Instructions on that way.</param>
/// <param name="Loads">Its 16-byte loads of a thread, from global or shared memory.</param>
/// <param name="Stores">Its 16-byte stores to global memory.</param>
internal readonly record struct SassLoop(int Instructions, int Loads, int Stores);

/// <summary>The machine code of one kernel, line by line as nvdisasm writes it.</summary>
internal sealed partial class SassCode
{
    private readonly List<string> _code = [];
    private readonly Dictionary<string, int> _labels = [];
    private readonly Dictionary<int, string> _jumps = [];

    /// <summary>Takes the next line.</summary>
    /// <param name="line">An instruction, a label, or something else, which does not count.</param>
    public void Add(string line)
    {
        if (Label().Match(line) is { Success: true } label)
        {
            _labels[label.Groups["label"].Value] = _code.Count;
        }
        else if (Instruction().Match(line) is { Success: true } instruction)
        {
            if (Jump().Match(line) is { Success: true } jump)
            {
                _jumps[_code.Count] = jump.Groups["label"].Value;
            }

            _code.Add(instruction.Groups["text"].Value);
        }
    }

    /// <summary>The loops with 16-byte accesses that have no other such loop inside.</summary>
    /// <returns>The loops, in order.</returns>
    public IEnumerable<SassLoop> RowLoops()
    {
        List<(int First, int Last)> loops = [.. _jumps
            .Where(jump => Target(jump.Key) is { } target && target <= jump.Key)
            .Select(jump => (First: Target(jump.Key)!.Value, Last: jump.Key))
            .Where(loop => _code[loop.First..loop.Last].Exists(text => IsLoad(text) || IsStore(text)))
            .Order()];
        return loops.Where(loop => !loops.Exists(other => other != loop && other.First >= loop.First && other.Last <= loop.Last))
            .Select(loop => ShortestWay(loop.First, loop.Last));
    }

    /// <summary>Forward through the loop: the most accesses first, and then the fewest instructions.</summary>
    private SassLoop ShortestWay(int first, int last)
    {
        var ways = new SassLoop?[last - first + 1];
        ways[0] = default(SassLoop);
        for (int at = first; at < last; at++)
        {
            if (ways[at - first] is not { } way)
            {
                continue;
            }

            string text = _code[at];
            way = new SassLoop(way.Instructions + 1, way.Loads + (IsLoad(text) ? 1 : 0), way.Stores + (IsStore(text) ? 1 : 0));
            if (Target(at) is { } target && target > at && target <= last)
            {
                Improve(ref ways[target - first], way);
            }

            bool goesOn = !IsUnconditional(text);
            if (goesOn)
            {
                Improve(ref ways[at + 1 - first], way);
            }
        }

        SassLoop whole = ways[^1] ?? default;
        return whole with { Instructions = whole.Instructions + 1 };
    }

    private int? Target(int jump) => _jumps.TryGetValue(jump, out string? label) && _labels.TryGetValue(label, out int target) ? target : null;

    private static void Improve(ref SassLoop? known, SassLoop way)
    {
        int accesses = way.Loads + way.Stores;
        if (known is not { } other || accesses > other.Loads + other.Stores || (accesses == other.Loads + other.Stores && way.Instructions < other.Instructions))
        {
            known = way;
        }
    }

    private static bool IsLoad(string text) =>
        text.Contains(".128", StringComparison.Ordinal) && (text.Contains("LDG", StringComparison.Ordinal) || text.Contains("LDS", StringComparison.Ordinal));

    private static bool IsStore(string text) => text.Contains(".128", StringComparison.Ordinal) && text.Contains("STG", StringComparison.Ordinal);

    /// <summary>Whether nothing follows: no predicate stands before it, and no register decides.</summary>
    private static bool IsUnconditional(string text) => Leaves().IsMatch(text);

    [GeneratedRegex(@"^(?<label>\.L_x_\d+):")]
    private static partial Regex Label();

    [GeneratedRegex(@"^\s*/\*[0-9a-f]{4,}\*/\s+(?<text>[^;]+);")]
    private static partial Regex Instruction();

    [GeneratedRegex(@"BRA(\.\w+)*\s+.*`\((?<label>\.L_x_\d+)\)")]
    private static partial Regex Jump();

    [GeneratedRegex(@"^(BRA\s+`|BRX|EXIT|RET)")]
    private static partial Regex Leaves();
}
