using Asft.PtxVm.Execution;
using Asft.PtxVm.Syntax;

namespace Asft.PtxVm.Decoding;

/// <summary>The registers that an instruction reads and writes, its guard apart.</summary>
internal sealed record RegisterUses(Register? Guard, Register[] Reads, Register[] Writes);

/// <summary>
/// What follows from how control flows in a kernel: where threads that part meet, and which registers may be read unwritten.
/// </summary>
internal static class ControlFlow
{
    /// <summary>
    /// Sets for each branch its immediate post-dominator: the first instruction that every thread comes to, whichever way it
    /// takes.
    /// </summary>
    /// <remarks>
    /// A way that only leads to the end does not count, unless there is no other: threads that end early do not keep the rest of their
    /// warp from meeting, as compilers arrange it for GPUs too.
    /// </remarks>
    public static void SetReconvergence(Instruction[] code)
    {
        var ends = code.Length; // a node after all exits
        var successors = new int[code.Length][];
        for (var i = 0; i < code.Length; i++)
        {
            var all = Successors(code, i, ends);
            var going = all.Where(next => next != ends && !IsExit(code, next)).ToArray();
            successors[i] = going.Length > 0 ? going : all;
        }

        var dominators = PostDominators(successors, ends);
        if (Array.IndexOf(dominators, -1) >= 0)
        {
            // loops that only a return leaves: there it is the way out after all
            for (var i = 0; i < code.Length; i++)
            {
                successors[i] = dominators[i] < 0 ? Successors(code, i, ends) : successors[i];
            }

            dominators = PostDominators(successors, ends);
        }

        for (var i = 0; i < code.Length; i++)
        {
            if (code[i].Kind is InstructionKind.Branch or InstructionKind.IndexedBranch)
            {
                code[i].Reconvergence = dominators[i] == ends ? -1 : dominators[i]; // -1 too where no way leads to the end
            }
        }
    }

    /// <summary>The registers of which some read is not certainly preceded by a write.</summary>
    public static bool[] FindUnassigned(Instruction[] code, List<RegisterUses> uses, int registers)
    {
        var words = (registers + 63) / 64;
        var before = new ulong[code.Length][];
        var visited = new bool[code.Length];
        var found = new bool[registers];
        var work = new Stack<int>();
        before[0] = new ulong[words];
        work.Push(0);
        while (work.TryPop(out var i))
        {
            visited[i] = true;
            var after = (ulong[])before[i].Clone();
            if (code[i].Guard < 0)
            {
                foreach (var register in uses[i].Writes)
                {
                    after[register.Index >> 6] |= 1UL << register.Index;
                }
            }

            foreach (var next in Successors(code, i, code.Length))
            {
                if (next == code.Length)
                {
                    continue;
                }

                var changed = before[next] is null;
                before[next] ??= (ulong[])after.Clone();
                for (var word = 0; word < words; word++)
                {
                    var both = before[next][word] & after[word];
                    changed |= both != before[next][word];
                    before[next][word] = both;
                }

                if (changed)
                {
                    work.Push(next);
                }
            }
        }

        for (var i = 0; i < code.Length; i++)
        {
            var reads = uses[i].Guard is { } guard ? uses[i].Reads.Append(guard) : uses[i].Reads;
            foreach (var register in reads)
            {
                found[register.Index] |= visited[i] && (before[i][register.Index >> 6] >> register.Index & 1) == 0;
            }
        }

        return found;
    }

    private static int[] Successors(Instruction[] code, int i, int ends)
    {
        var instruction = code[i];
        var next = i + 1 < code.Length ? i + 1 : ends;
        return instruction.Kind switch
        {
            InstructionKind.Exit => instruction.Guard < 0 ? [ends] : [next, ends],
            InstructionKind.Branch => instruction.Guard < 0 ? [instruction.Target] : [next, instruction.Target],
            InstructionKind.IndexedBranch =>
                instruction.Guard < 0 ? [.. instruction.Targets.Distinct()] : [next, .. instruction.Targets],
            _ => [next],
        };
    }

    private static bool IsExit(Instruction[] code, int i)
    {
        for (var steps = 0; steps < code.Length; steps++)
        {
            if (code[i].Guard >= 0)
            {
                return false;
            }

            if (code[i].Kind == InstructionKind.Exit)
            {
                return true;
            }

            if (code[i].Kind != InstructionKind.Branch)
            {
                return false;
            }

            i = code[i].Target;
        }

        return false;
    }

    // Cooper, Harvey and Kennedy's iteration, on the graph reversed.
    private static int[] PostDominators(int[][] successors, int ends)
    {
        var count = ends + 1;
        var predecessors = new List<int>[count];
        for (var i = 0; i < count; i++)
        {
            predecessors[i] = [];
        }

        for (var i = 0; i < ends; i++)
        {
            foreach (var next in successors[i])
            {
                predecessors[next].Add(i);
            }
        }

        // order in which a search from the end leaves the nodes
        var number = new int[count];
        Array.Fill(number, -1);
        var order = new List<int>();
        var seen = new bool[count];
        var stack = new Stack<(int Node, int Next)>();
        stack.Push((ends, 0));
        seen[ends] = true;
        while (stack.TryPop(out var top))
        {
            if (top.Next < predecessors[top.Node].Count)
            {
                stack.Push((top.Node, top.Next + 1));
                var predecessor = predecessors[top.Node][top.Next];
                if (!seen[predecessor])
                {
                    seen[predecessor] = true;
                    stack.Push((predecessor, 0));
                }
            }
            else
            {
                number[top.Node] = order.Count;
                order.Add(top.Node);
            }
        }

        var dominator = new int[count];
        Array.Fill(dominator, -1);
        dominator[ends] = ends;
        for (var changed = true; changed;)
        {
            changed = false;
            for (var k = order.Count - 2; k >= 0; k--)
            {
                var node = order[k];
                var best = -1;
                foreach (var next in successors[node])
                {
                    if (dominator[next] >= 0)
                    {
                        best = best < 0 ? next : Meet(best, next);
                    }
                }

                if (best != dominator[node])
                {
                    dominator[node] = best;
                    changed = true;
                }
            }
        }

        return dominator;

        int Meet(int a, int b)
        {
            while (a != b)
            {
                while (number[a] < number[b])
                {
                    a = dominator[a];
                }

                while (number[b] < number[a])
                {
                    b = dominator[b];
                }
            }

            return a;
        }
    }
}
