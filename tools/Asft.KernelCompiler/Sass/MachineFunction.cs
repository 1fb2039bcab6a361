using System.Text.RegularExpressions;

namespace Asft.KernelCompiler.Sass;

/// <summary>A machine instruction.</summary>
/// <param name="Guard">The predicate it depends on, <c>@!P0</c>; empty where it always takes effect.</param>
/// <param name="Opcode">With its modifiers: <c>LDG.E.128</c>.</param>
/// <param name="Operands">What follows.</param>
internal readonly record struct MachineInstruction(string Guard, string Opcode, string Operands)
{
    /// <summary>The opcode without its modifiers.</summary>
    public string Operation => Opcode.Split('.')[0];

    /// <summary>The first operand: what it writes.</summary>
    public string Destination => Operands.Split(',')[0];

    /// <summary>Whether it loads 16 bytes.</summary>
    public bool IsWideLoad => Operation is "LDG" or "LD" or "LDS" && IsWide;

    /// <summary>Whether it stores 16 bytes.</summary>
    public bool IsWideStore => Operation is "STG" or "ST" && IsWide;

    /// <summary>Whether it keeps 16 bytes in shared memory.</summary>
    public bool IsWideKeep => Operation is "STS" && IsWide;

    /// <summary>Whether it is an exponential.</summary>
    public bool IsExponential => Opcode is "MUFU.EX2";

    private bool IsWide => Opcode.Split('.').Contains("128");
}

/// <summary>A kernel's machine code, as nvdisasm lists it.</summary>
/// <param name="Name">Name of the kernel.</param>
/// <param name="Instructions">The instructions in order.</param>
/// <param name="Labels">For each label the number of the instruction that follows it.</param>
internal sealed partial record MachineFunction(
    string Name, IReadOnlyList<MachineInstruction> Instructions, IReadOnlyDictionary<string, int> Labels)
{
    /// <summary>Reads what <c>nvdisasm -c</c> writes.</summary>
    /// <param name="listing">The text.</param>
    /// <returns>The functions, in order.</returns>
    public static IReadOnlyList<MachineFunction> Parse(string listing)
    {
        var functions = new List<MachineFunction>();
        List<MachineInstruction> instructions = [];
        Dictionary<string, int> labels = [];
        foreach (string line in listing.Split('\n'))
        {
            if (Function().Match(line) is { Success: true } function)
            {
                instructions = [];
                labels = [];
                functions.Add(new MachineFunction(function.Groups["name"].Value, instructions, labels));
            }
            else if (Label().Match(line) is { Success: true } label)
            {
                labels[label.Groups["name"].Value] = instructions.Count;
            }
            else if (Instruction().Match(line) is { Success: true } match)
            {
                instructions.Add(new MachineInstruction(
                    match.Groups["guard"].Value, match.Groups["opcode"].Value, match.Groups["operands"].Value.Trim()));
            }
        }

        return functions;
    }

    /// <summary>The numbers of the instructions at the labels that an instruction names: one of a branch, all that a jump through a register may take.</summary>
    /// <param name="instruction">The instruction.</param>
    /// <returns>The numbers.</returns>
    public IEnumerable<int> TargetsOf(MachineInstruction instruction) =>
        Target().Matches(instruction.Operands).Where(match => Labels.ContainsKey(match.Value)).Select(match => Labels[match.Value]);

    [GeneratedRegex(@"^\.text\.(?<name>[\w$]+):")]
    private static partial Regex Function();

    [GeneratedRegex(@"^(?<name>\.L_[\w.$]+):")]
    private static partial Regex Label();

    [GeneratedRegex(@"^\s+/\*[0-9a-f]+\*/\s+(?<guard>@!?U?P\w+)?\s*(?<opcode>[A-Z][\w.]*)(?<operands>[^;]*);")]
    private static partial Regex Instruction();

    [GeneratedRegex(@"\.L_[\w.$]+")]
    private static partial Regex Target();
}
