namespace FineTune.Text;

/// <summary>Chooses which examples share a row.</summary>
internal static class Packing
{
    /// <summary>
    /// First fit: each example, in the order given, goes into the first row that still has room for it. The same lengths in the same order
    /// give the same rows.
    /// </summary>
    /// <param name="lengths">Tokens of each example.</param>
    /// <param name="rowLength">Tokens of a row.</param>
    /// <returns>For each row, the numbers of its examples, ascending.</returns>
    /// <exception cref="ArgumentException">An example is longer than a row.</exception>
    public static int[][] FirstFit(IReadOnlyList<int> lengths, int rowLength)
    {
        var rows = new List<List<int>>();
        var room = new RoomTree(lengths.Count, rowLength);
        for (int example = 0; example < lengths.Count; example++)
        {
            if (lengths[example] > rowLength)
            {
                throw new ArgumentException(
                    $"Example {example} has {lengths[example]} tokens, and a row has {rowLength}.", nameof(lengths));
            }

            int row = room.Take(lengths[example]);
            if (row == rows.Count)
            {
                rows.Add([]);
            }

            rows[row].Add(example);
        }

        return [.. rows.Select(row => row.ToArray())];
    }

    /// <summary>The room left in as many rows as can be needed; finds the first with enough of it in logarithmic time.</summary>
    private sealed class RoomTree
    {
        private readonly int[] most; // of node n's rows, its children being 2n and 2n + 1
        private readonly int leaves;

        public RoomTree(int rows, int length)
        {
            leaves = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, rows));
            most = new int[2 * leaves];
            Array.Fill(most, length);
        }

        /// <summary>Takes room in the first row that has it, and returns the row's number.</summary>
        public int Take(int length)
        {
            int node = 1;
            while (node < leaves)
            {
                node = most[2 * node] >= length ? 2 * node : (2 * node) + 1;
            }

            int row = node - leaves;
            most[node] -= length;
            for (node /= 2; node > 0; node /= 2)
            {
                most[node] = Math.Max(most[2 * node], most[(2 * node) + 1]);
            }

            return row;
        }
    }
}
