using Asft.Kernels.Cuda;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>How rows are shared by blocks, on a device that runs two blocks on each of 132 multiprocessors at once.</summary>
[Parallelizable]
public class RowSplitTests
{
    private const int Multiprocessors = 132;
    private const int AtOnce = 2 * Multiprocessors;
    private const int Vocabulary = 151_936;
    private const int Tiles = Vocabulary / (32 * KernelConstants.HalfChunk);

    [Test]
    public void NoMultiprocessorWaitsLong([Values(1, 7, 100, 133, 200, 265)] long rows, [Values] bool fusesGradient)
    {
        RowSplit split = Split(rows, fusesGradient);
        double blocks = rows * split.Parts;
        double time = Math.Ceiling(blocks / AtOnce) * (split.Parts == 1 ? 1 : (double)split.TilesPerPart / Tiles);
        double ideal = Math.Max((double)rows / AtOnce, 1.0 / 18); // a part is a tile for each of 16 warps at least
        Assert.That(time / ideal, Is.InRange(1, 1.35));
    }

    [Test]
    public void EveryTileHasItsPart([Values(1, 5, 133, 265, 700)] long rows)
    {
        RowSplit split = Split(rows, fusesGradient: false);
        Assert.That(split.Parts, Is.InRange(1, 32));
        if (split.Parts > 1)
        {
            Assert.That((long)split.Parts * split.TilesPerPart, Is.AtLeast(Tiles));
            Assert.That((split.Parts - 1L) * split.TilesPerPart, Is.LessThan(Tiles), "no part is empty");
        }
    }

    [TestCase(264L)] // a block for each, and none waits
    [TestCase(528L)]
    [TestCase(1056L)] // four times as many as run at once, and more
    [TestCase(100_000L)]
    public void RowsThatKeepAllBusyAreNotShared(long rows) => Assert.That(Split(rows, fusesGradient: true), Is.EqualTo(RowSplit.None));

    [Test]
    public void ShortRowsAreNotShared() =>
        Assert.That(RowSplit.Of(1, 16_000, ElementType.BFloat16, KernelForm.Fast, false, Multiprocessors), Is.EqualTo(RowSplit.None));

    private static RowSplit Split(long rows, bool fusesGradient) =>
        RowSplit.Of(rows, Vocabulary, ElementType.BFloat16, KernelForm.Fast, fusesGradient, Multiprocessors);
}
