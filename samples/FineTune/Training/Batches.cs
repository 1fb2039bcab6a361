using FineTune.Problems;

namespace FineTune.Training;

/// <summary>Endless sequences of batches.</summary>
internal static class Batches
{
    public const int Size = 32;

    private const double AnyAdditionShare = 0.4;

    /// <summary>
    /// Fresh problems of every kind for the pretraining, in equal parts. Most of the additions are of the easy kind, so that the
    /// base model comes out able to do the other kinds, and additions in part: something to lose, and something to learn.
    /// </summary>
    public static IEnumerable<Example[]> Mixture(Random random)
    {
        var easyAddition = new Addition(carries: false);
        var addition = new Addition(carries: true);
        IDomain[] others = [new Sorting(), new Logic(), new Counting()];

        Example Draw() => random.Next(others.Length + 1) is var kind && kind < others.Length
            ? others[kind].Sample(random)
            : (random.NextDouble() < AnyAdditionShare ? addition : easyAddition).Sample(random);

        while (true)
        {
            yield return [.. Enumerable.Range(0, Size).Select(_ => Draw())];
        }
    }

    /// <summary>The same examples again and again, each epoch in a new order.</summary>
    public static IEnumerable<Example[]> Epochs(Example[] examples, Random random)
    {
        Example[] order = [.. examples];
        while (true)
        {
            random.Shuffle(order);
            foreach (Example[] batch in order.Chunk(Size))
            {
                yield return batch;
            }
        }
    }
}
