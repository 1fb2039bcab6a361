namespace FineTune.Problems;

/// <summary>One kind of problem, and an endless supply of it.</summary>
internal interface IDomain
{
    string Name { get; }

    /// <summary>Draws a problem, with the correct steps to its answer as the response; the answer follows the last '#'.</summary>
    Example Sample(Random random);
}
