namespace Asft.KernelCompiler.Sass;

/// <summary>
/// The loop in which a kernel goes through its rows, 16 bytes at a time, and the way through it that almost every chunk takes: of all ways
/// from the loop's header back to it that pass its 16-byte loads and stores, in shared memory too, and an exponential at least for each logit that they bring, the one
/// with the fewest instructions. Instructions whose predicate is false count, as they are issued. What loops within it load does not count:
/// of two loops, one in the other, it is the inner one that goes through the row.
/// </summary>
/// <param name="Loads">Loads of 16 bytes on that way.</param>
/// <param name="Stores">Stores of 16 bytes.</param>
/// <param name="Instructions">All instructions.</param>
internal sealed record HotLoop(int Loads, int Stores, int Instructions)
{
    private const int VectorBytes = 16;

    /// <summary>Whether it writes the gradient; otherwise it sums.</summary>
    public bool IsGradient => Stores > 0;

    /// <summary>The hot loops of a function.</summary>
    /// <param name="function">The function.</param>
    /// <param name="elementBytes">Bytes of a logit.</param>
    /// <returns>The loops in the order of the code. None where a loop has no such way.</returns>
    public static IReadOnlyList<HotLoop> Find(MachineFunction function, int elementBytes)
    {
        var graph = new FlowGraph(function);
        return [.. graph.Loops.Select(loop => Shortest(graph, loop, VectorBytes / elementBytes)).OfType<HotLoop>()];
    }

    /// <summary>Instructions for each logit of the policy.</summary>
    /// <param name="matrices">Matrices that the sums read; of a gradient, the stores say how many logits there are.</param>
    /// <param name="elementBytes">Bytes of a logit.</param>
    /// <returns>The number.</returns>
    public double PerElement(int matrices, int elementBytes) =>
        Instructions / ((IsGradient ? Stores : (double)Loads / matrices) * (VectorBytes / elementBytes));

    private static HotLoop? Shortest(FlowGraph graph, NaturalLoop loop, int perVector)
    {
        // Blocks come after all that lead to them, but for jumps back.
        HashSet<int> inner = [.. graph.Loops.Where(other => other != loop && loop.Blocks.Contains(other.Header)).SelectMany(other => other.Blocks)];
        int[] order = [.. graph.Order.Where(loop.Blocks.Contains)];
        var place = order.Select((block, i) => (block, i)).ToDictionary(pair => pair.block, pair => pair.i);
        var ways = order.ToDictionary(block => block, _ => new Dictionary<(int Loads, int Stores, int Kept, int Exponentials), int>());
        var whole = new Dictionary<(int Loads, int Stores, int Kept, int Exponentials), int>();
        ways[loop.Header][default] = 0;
        foreach (int block in order)
        {
            MachineInstruction[] instructions = [.. graph.InstructionsOf(block)];
            IEnumerable<MachineInstruction> own = inner.Contains(block) ? [] : instructions;
            int loads = Loads(own);
            int stores = own.Count(one => one.IsWideStore);
            int kept = own.Count(one => one.IsWideKeep);
            int exponentials = own.Count(one => one.IsExponential);
            foreach (((int Loads, int Stores, int Kept, int Exponentials) passed, int cost) in ways[block])
            {
                (int, int, int, int) now = (passed.Loads + loads, passed.Stores + stores, passed.Kept + kept, passed.Exponentials + exponentials);
                foreach (int next in graph.Next(block))
                {
                    if (next == loop.Header)
                    {
                        Keep(whole, now, cost + instructions.Length);
                    }
                    else if (place.TryGetValue(next, out int at) && at > place[block])
                    {
                        Keep(ways[next], now, cost + instructions.Length);
                    }
                }
            }
        }

        int mostLoads = whole.Keys.Select(way => way.Loads).DefaultIfEmpty().Max();
        int mostStores = whole.Keys.Select(way => way.Stores).DefaultIfEmpty().Max();
        int mostKept = whole.Keys.Where(way => way.Loads == mostLoads && way.Stores == mostStores).Select(way => way.Kept).DefaultIfEmpty().Max();
        int needed = (mostStores > 0 ? mostStores : mostLoads) * perVector;
        HotLoop[] hot =
        [
            .. whole.Where(way => way.Key.Loads == mostLoads && way.Key.Stores == mostStores && way.Key.Kept == mostKept && way.Key.Exponentials >= needed)
                .Select(way => new HotLoop(mostLoads, mostStores, way.Value)),
        ];
        return mostLoads == 0 ? null : hot.MinBy(way => way.Instructions);

        // Of two loads into the same registers under opposite predicates, one is switched off.
        static int Loads(IEnumerable<MachineInstruction> block) => block.Where(one => one.IsWideLoad)
            .DistinctBy(one => (one.Destination, one.Guard.Replace("!", string.Empty, StringComparison.Ordinal)))
            .Count();

        static void Keep(Dictionary<(int Loads, int Stores, int Kept, int Exponentials), int> ways, (int, int, int, int) way, int cost) =>
            ways[way] = Math.Min(cost, ways.GetValueOrDefault(way, int.MaxValue));
    }
}
