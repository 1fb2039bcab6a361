using System.Text.RegularExpressions;

namespace Asft.KernelCompiler;

/// <summary>A loop of machine code: everything from where its last branch goes to that branch.</summary>
/// <param name="Instructions">Its instructions, also those of branches inside that are hardly ever taken.</param>
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
            .Select(loop => Count(_code[loop.First..(loop.Last + 1)]));
    }

    private static SassLoop Count(List<string> body) => new(body.Count, body.Count(IsLoad), body.Count(IsStore));

    private int? Target(int jump) => _jumps.TryGetValue(jump, out string? label) && _labels.TryGetValue(label, out int target) ? target : null;

    private static bool IsLoad(string text) =>
        text.Contains(".128", StringComparison.Ordinal) && (text.Contains("LDG", StringComparison.Ordinal) || text.Contains("LDS", StringComparison.Ordinal));

    private static bool IsStore(string text) => text.Contains(".128", StringComparison.Ordinal) && text.Contains("STG", StringComparison.Ordinal);

    [GeneratedRegex(@"^(?<label>\.L_x_\d+):")]
    private static partial Regex Label();

    [GeneratedRegex(@"^\s*/\*[0-9a-f]{4,}\*/\s+(?<text>[^;]+);")]
    private static partial Regex Instruction();

    [GeneratedRegex(@"BRA(\.\w+)*\s+.*`\((?<label>\.L_x_\d+)\)")]
    private static partial Regex Jump();
}
