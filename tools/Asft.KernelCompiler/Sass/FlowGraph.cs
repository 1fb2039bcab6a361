namespace Asft.KernelCompiler.Sass;

/// <summary>Instructions that are run one after the other.</summary>
/// <param name="First">Number of the first.</param>
/// <param name="Count">How many.</param>
internal readonly record struct BasicBlock(int First, int Count);

/// <summary>
/// How control may flow through a function: its basic blocks, those that follow each of them, and its natural loops. Blocks that nothing leads
/// to have no followers.
/// </summary>
internal sealed class FlowGraph
{
    private readonly MachineFunction _function;
    private readonly Dictionary<int, int> _blockAt = []; // by the number of its first instruction
    private readonly List<SortedSet<int>> _next = [];

    /// <summary>The graph of a function.</summary>
    /// <param name="function">The function.</param>
    public FlowGraph(MachineFunction function)
    {
        _function = function;
        Blocks = FindBlocks();
        Connect();
        Order = FindOrder();
        Loops = FindLoops();
    }

    /// <summary>The blocks, in the order of the code.</summary>
    public IReadOnlyList<BasicBlock> Blocks { get; }

    /// <summary>Blocks that are reached from the first, each before those that follow it, but for loops.</summary>
    public IReadOnlyList<int> Order { get; }

    /// <summary>The natural loops, one for each header.</summary>
    public IReadOnlyList<NaturalLoop> Loops { get; }

    /// <summary>The blocks that may follow a block.</summary>
    /// <param name="block">Number of the block.</param>
    /// <returns>Their numbers.</returns>
    public IReadOnlyCollection<int> Next(int block) => _next[block];

    /// <summary>The instructions of a block.</summary>
    /// <param name="block">Number of the block.</param>
    /// <returns>The instructions.</returns>
    public IEnumerable<MachineInstruction> InstructionsOf(int block) =>
        _function.Instructions.Skip(Blocks[block].First).Take(Blocks[block].Count);

    private List<BasicBlock> FindBlocks()
    {
        int count = _function.Instructions.Count;
        var leaders = new SortedSet<int> { 0, count };
        leaders.UnionWith(_function.Labels.Values);
        for (int i = 0; i < count; i++)
        {
            if (_function.Instructions[i].Operation is "BRA" or "EXIT" or "BSYNC" or "RET" or "BRX" or "JMX")
            {
                leaders.Add(i + 1);
            }
        }

        int[] starts = [.. leaders];
        var blocks = new List<BasicBlock>();
        for (int i = 0; i + 1 < starts.Length; i++)
        {
            _blockAt[starts[i]] = blocks.Count;
            blocks.Add(new BasicBlock(starts[i], starts[i + 1] - starts[i]));
            _next.Add([]);
        }

        return blocks;
    }

    /// <summary>
    /// Follows the code from its first block. What threads that parted wait for (BSYNC) goes on where the barrier was set up to (BSSY), which is
    /// known along the way there.
    /// </summary>
    private void Connect()
    {
        var barriers = new Dictionary<string, SortedSet<int>>?[Blocks.Count]; // for each, the instructions it may go on to
        var open = new Queue<int>();
        Reach(0, []);
        while (open.TryDequeue(out int block))
        {
            var known = barriers[block]!.ToDictionary(pair => pair.Key, pair => new SortedSet<int>(pair.Value));
            foreach (MachineInstruction instruction in InstructionsOf(block))
            {
                if (instruction.Operation == "BSSY")
                {
                    known[BarrierOf(instruction)] = [.. _function.TargetsOf(instruction)];
                }
            }

            foreach (int next in Followers(block, known))
            {
                _next[block].Add(next);
                Reach(next, known);
            }
        }

        void Reach(int block, Dictionary<string, SortedSet<int>> known)
        {
            bool changed = barriers[block] is null;
            Dictionary<string, SortedSet<int>> here = barriers[block] ??= [];
            foreach ((string barrier, SortedSet<int> targets) in known)
            {
                SortedSet<int> all = here.TryGetValue(barrier, out SortedSet<int>? old) ? old : here[barrier] = [];
                int before = all.Count;
                all.UnionWith(targets);
                changed |= all.Count > before;
            }

            if (changed)
            {
                open.Enqueue(block);
            }
        }
    }

    private IEnumerable<int> Followers(int block, Dictionary<string, SortedSet<int>> barriers)
    {
        (int first, int count) = Blocks[block];
        MachineInstruction last = _function.Instructions[first + count - 1];
        IEnumerable<int> jumps = last.Operation switch
        {
            "BRA" or "BRX" or "JMX" => _function.TargetsOf(last),
            "BSYNC" => barriers.TryGetValue(BarrierOf(last), out SortedSet<int>? targets) ? targets : [first + count],
            _ => [],
        };
        if (last.Operation is "BRX" or "JMX" && !jumps.Any())
        {
            throw new CompilerException($"{_function.Name} has a jump whose targets are not listed: {last.Opcode} {last.Operands}.");
        }

        // A branch may have a predicate, or the register that it asks for divergence, before its label.
        bool goesOn = last.Operation switch
        {
            "BRA" => last.Guard.Length > 0 || !last.Operands.StartsWith('`'),
            "EXIT" or "BSYNC" or "RET" or "BRX" or "JMX" => last.Guard.Length > 0,
            _ => true,
        };
        return jumps.Concat(goesOn ? [first + count] : []).Where(_blockAt.ContainsKey).Select(at => _blockAt[at]);
    }

    private static string BarrierOf(MachineInstruction instruction) => instruction.Operands.Split(',')[0].Trim();

    private List<int> FindOrder()
    {
        var order = new List<int>();
        var seen = new HashSet<int> { 0 };
        var path = new Stack<(int Block, IEnumerator<int> Next)>();
        path.Push((0, Next(0).GetEnumerator()));
        while (path.TryPeek(out (int Block, IEnumerator<int> Next) top))
        {
            if (!top.Next.MoveNext())
            {
                order.Add(path.Pop().Block);
            }
            else if (seen.Add(top.Next.Current))
            {
                path.Push((top.Next.Current, Next(top.Next.Current).GetEnumerator()));
            }
        }

        order.Reverse();
        return order;
    }

    /// <summary>A loop is what leads back to a block through which alone it is entered: its header dominates the block that jumps back.</summary>
    private List<NaturalLoop> FindLoops()
    {
        var before = Order.ToDictionary(block => block, _ => new List<int>());
        foreach (int block in Order)
        {
            foreach (int next in Next(block))
            {
                before[next].Add(block);
            }
        }

        Dictionary<int, HashSet<int>> dominators = FindDominators(before);
        var loops = new SortedDictionary<int, HashSet<int>>();
        foreach ((int block, int header) in Order.SelectMany(block => Next(block).Select(next => (block, next))))
        {
            if (dominators[block].Contains(header))
            {
                HashSet<int> body = loops.TryGetValue(header, out HashSet<int>? old) ? old : loops[header] = [header];
                var open = new Stack<int>([block]);
                while (open.TryPop(out int at))
                {
                    if (body.Add(at))
                    {
                        before[at].ForEach(open.Push);
                    }
                }
            }
        }

        return [.. loops.Select(loop => new NaturalLoop(loop.Key, loop.Value))];
    }

    private Dictionary<int, HashSet<int>> FindDominators(Dictionary<int, List<int>> before)
    {
        var dominators = Order.ToDictionary(block => block, block => block == Order[0] ? [block] : Order.ToHashSet());
        bool changed = true;
        while (changed)
        {
            changed = false;
            foreach (int block in Order.Skip(1))
            {
                HashSet<int> common = [.. dominators[before[block][0]]];
                before[block].ForEach(other => common.IntersectWith(dominators[other]));
                common.Add(block);
                changed |= common.Count < dominators[block].Count;
                dominators[block] = common;
            }
        }

        return dominators;
    }
}

/// <summary>A loop with one entry.</summary>
/// <param name="Header">The block it is entered through.</param>
/// <param name="Blocks">All its blocks, those of loops within it too.</param>
internal sealed record NaturalLoop(int Header, IReadOnlySet<int> Blocks);
