using Asft.Kernels;
using Asft.Kernels.Tests;

namespace Asft.GpuCheck;

/// <summary>A check, and what was wrong; null for nothing.</summary>
/// <param name="Name">What was checked.</param>
/// <param name="Failure">What was wrong.</param>
internal sealed record CheckResult(string Name, string? Failure);

/// <summary>Golden values and properties: what the tests check of every kernel.</summary>
internal static class Correctness
{
    /// <summary>Runs every check.</summary>
    /// <param name="kernel">A kernel whose results are there when a call returns.</param>
    /// <param name="sizes">How much.</param>
    /// <returns>What came of each.</returns>
    public static IEnumerable<CheckResult> Run(ITokenLossKernel kernel, GpuSizes sizes)
    {
        foreach (string name in GoldenCase.Names)
        {
            yield return Check($"golden: {name}", () => GoldenCheck.Run(kernel, name));
        }

        foreach ((string name, Action<int> run) in (IEnumerable<(string, Action<int>)>)
        [
            ("loss and gradient", cases => RandomCase.Any.ForEach(cases, test => KernelPromises.LossAndGradientAreExact(kernel, test with { HasEntropy = false }), threads: 1)),
            ("backward", cases => RandomCase.Any.ForEach(cases, test => KernelPromises.BackwardIsExact(kernel, test, test.Seed % 2 == 0), threads: 1)),
            ("every objective", cases => RandomCase.General.ForEach(cases, test => KernelPromises.LossAndGradientAreExact(kernel, test), threads: 1)),
            ("every objective, backward", cases => RandomCase.General.ForEach(cases, test => KernelPromises.BackwardIsExact(kernel, test, test.Seed % 2 == 0), threads: 1)),
            ("shards of a vocabulary", cases => RandomCase.General.ForEach(cases, test => KernelPromises.ShardsGiveTheWholeRow(kernel, test), threads: 1)),
            ("the same input gives the same bits", cases => RandomCase.General.ForEach(cases, test => SameBits(kernel, test), threads: 1)),
        ])
        {
            yield return Check($"{sizes.Cases} random problems: {name}", () => run(sizes.Cases));
        }

        yield return Check("rows in any order", () => KernelPromises.RowsMayLieInAnyOrder(kernel, 700, ElementType.Float32, padding: 4));
        foreach (KlDirection direction in Enum.GetValues<KlDirection>())
        {
            yield return Check(
                $"a constant between the models, {direction}", () => KernelPromises.AConstantOffsetDoesNotDisturbTheKl(kernel, direction, vocabulary: 3000));
        }

        yield return Check("small probabilities beside a large one", () => KernelPromises.SmallProbabilitiesAreNotRoundedAway(kernel));
    }

    private static void SameBits(ITokenLossKernel kernel, RandomCase test)
    {
        using KernelRun first = test.Run();
        using KernelRun second = test.Run();
        first.Forward(kernel, test.InPlace);
        second.Forward(kernel, test.InPlace);
        Assert.That(second.Bits(), Is.EqualTo(first.Bits()));
    }

    private static CheckResult Check(string name, Action run)
    {
        try
        {
            run();
            return new CheckResult(name, null);
        }
        catch (Exception error)
        {
            return new CheckResult(name, $"{error.GetType().Name}: {error.Message}");
        }
    }
}
