namespace FineTune.Tuning;

/// <summary>
/// Which examples each step takes: all of them once in each epoch, in an order that changes from epoch to epoch and follows from the seed and the
/// step alone, so that a training can go on anywhere.
/// </summary>
/// <param name="examples">How many there are.</param>
/// <param name="batch">How many a step takes.</param>
/// <param name="seed">The order's seed.</param>
internal sealed class DataOrder(int examples, int batch, int seed)
{
    private int[] order = [];
    private long epoch = -1;

    /// <summary>Numbers of the examples of a step.</summary>
    /// <param name="step">The step, from 0.</param>
    public int[] Step(long step) => [.. Enumerable.Range(0, batch).Select(i => At((step * batch) + i))];

    private int At(long place)
    {
        if (place / examples != epoch)
        {
            epoch = place / examples;
            order = [.. Enumerable.Range(0, examples)];
            new Random(unchecked((seed * 31) + (int)epoch)).Shuffle(order);
        }

        return order[place % examples];
    }
}
