using System.Runtime.InteropServices;
using Asft.Kernels.Reference;
using CsCheck;

namespace Asft.Kernels.Tests;

/// <summary>The SIMD kernel against the double-precision reference, and what only the seam can show.</summary>
public unsafe class CpuKernelTests
{
    private static readonly ReferenceTokenLossKernel s_reference = new();

    private static readonly string[] s_widths = ["cpu128", "cpu256", "cpu512"];

    [TestCaseSource(nameof(s_widths))]
    public void AgreesWithTheReference(string kernel) => RandomCase.Any.ForEach(
        400, test => KernelPromises.LossAndGradientAreExact(AllKernels.Named(kernel), test));

    [TestCaseSource(nameof(s_widths))]
    public void BackwardAgreesWithTheReferenceForAnyUpstreamGradient(string kernel) => Gen.Select(RandomCase.Any, Gen.Bool).ForEach(
        400, (test, scalar) => KernelPromises.BackwardIsExact(AllKernels.Named(kernel), test, scalar));

    [TestCaseSource(nameof(s_widths))]
    public void EveryObjectiveAgreesWithTheReference(string kernel) => RandomCase.General.ForEach(
        400, test => KernelPromises.LossAndGradientAreExact(AllKernels.Named(kernel), test));

    [TestCaseSource(nameof(s_widths))]
    public void EveryObjectiveBackward(string kernel) => RandomCase.General.ForEach(
        400, test => KernelPromises.BackwardIsExact(AllKernels.Named(kernel), test, test.Seed % 2 == 0));

    [TestCaseSource(typeof(AllKernels), nameof(AllKernels.Names))]
    public void ShardsOfEveryObjective(string kernel) => RandomCase.General.ForEach(
        200, test => KernelPromises.ShardsGiveTheWholeRow(AllKernels.Named(kernel), test));

    [TestCaseSource(typeof(AllKernels), nameof(AllKernels.Names))]
    public void ShardsGiveTheWholeRow(string kernel) => RandomCase.Any.ForEach(
        200, test => KernelPromises.ShardsGiveTheWholeRow(AllKernels.Named(kernel), test));

    [TestCaseSource(nameof(s_widths))]
    public void ShardsOfModelsThatDisagreeGiveTheWholeRow(string kernel) => RandomCase.Wide.ForEach(
        200, test => KernelPromises.ShardsGiveTheWholeRow(AllKernels.Named(kernel), test));

    /// <summary>A gradient of what was kept is asked for once, of the same rows.</summary>
    [Test]
    public void WhatWasKeptIsOfTheRowsAndServesOnce()
    {
        using KernelRun run = new RandomCase(LossObjective.Asft(), 3, 50, ElementType.Float32, ElementType.Float32, 0, false, 1).Run();
        using var kept = new KeptExponentials();
        ITokenLossKernel kernel = AllKernels.Named("cpu512");
        void Backward() => run.Backward(kernel, [1], run.Problem, run.Gradient, 1, kept);
        Assert.That(Backward, Throws.ArgumentException.With.Message.Contains("of 0 rows").And.Message.Contains("of 3"));
        var gradient = new TokenGradient { Logits = run.Gradient, Kept = kept };
        kernel.Summarize(run.Problem with { Rows = 2 }, run.Outputs.State, gradient);
        Assert.That(Backward, Throws.ArgumentException.With.Message.Contains("of 2 rows"));
        kernel.Summarize(run.Problem, run.Outputs.State, gradient);
        Assert.That(Backward, Throws.Nothing);
        Assert.That(Backward, Throws.ArgumentException.With.Message.Contains("of 0 rows"));
    }

    /// <summary>Blocks without any mass have been measured from anywhere, which may be far above all the others.</summary>
    [TestCaseSource(nameof(s_widths))]
    public void MaskedBlocksBeforeLowLogits(string kernel)
    {
        const int Masked = 4096;
        double[] row = [.. Enumerable.Range(0, 5000).Select(i => i < Masked ? double.NegativeInfinity : -3000 + (i % 7))];
        double[] reference = [.. row.Select((x, i) => i < Masked ? x : -50 + (i % 5))];
        foreach (LossObjective objective in (LossObjective[])[LossObjective.Asft(1), LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse }])
        {
            foreach (ElementType type in (ElementType[])[ElementType.Float32, ElementType.Float64])
            {
                using var exact = new KernelRun(objective, row, reference, [4999], ElementType.Float64);
                exact.Forward(s_reference);
                double[] expected = exact.ReadMatrix(exact.Gradient);
                foreach (string way in (string[])["whole", "shards"])
                {
                    using var run = new KernelRun(objective, row, reference, [4999], type);
                    if (way == "whole")
                    {
                        run.Forward(AllKernels.Named(kernel));
                    }
                    else
                    {
                        KernelPromises.InShards(AllKernels.Named(kernel), run, [0, Masked, row.Length], 1, inPlace: false, scale: 1, keeps: true);
                    }

                    Assert.That(run.ReadMatrix(run.Gradient), Is.EqualTo(expected).Within(2e-6), $"{way} {type} {objective.KlDirection}");
                }
            }
        }
    }

    [Test]
    public void TheNumberOfThreadsChangesNoBit([Values] ElementType type, [Values] bool inPlace)
    {
        byte[]? first = null;
        foreach (int threads in new[] { 1, 2, 3, 7 })
        {
            using KernelRun run = new RandomCase(LossObjective.Asft(), 37, 3001, type, type, 5, inPlace, 42).Run();
            run.Forward(AllKernels.Named("cpu512", threads), inPlace);
            byte[] bits = run.Bits();
            Assert.That(bits, Is.EqualTo(first ?? bits), $"{threads} threads");
            first = bits;
        }
    }

    [TestCaseSource(nameof(s_widths))]
    public void IdenticalRowsHaveAKlOfExactlyZero(string kernel)
    {
        var random = new Random(3);
        double[] logits = [.. Enumerable.Range(0, 4 * 5003).Select(_ => (random.NextDouble() * 60) - 30)];
        foreach (ElementType type in AllKernels.Types)
        {
            foreach (KlDirection direction in Enum.GetValues<KlDirection>())
            {
                LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
                using var run = new KernelRun(objective, logits, logits, [1, 2, 3, 4], type);
                run.Forward(AllKernels.Named(kernel));
                Assert.That(run.Read(run.Outputs.Kl), Is.All.Zero, $"{type} {direction}");
            }
        }
    }

    [TestCaseSource(nameof(s_widths))]
    public void AConstantOffsetBetweenTheModelsDoesNotDisturbTheKl(string kernel) =>
        KernelPromises.AConstantOffsetDoesNotDisturbTheKl(AllKernels.Named(kernel), KlDirection.Forward, vocabulary: 1000);

    [Test]
    public void LabelsOutOfRangeAreRefusedBeforeAnythingIsWritten(
        [ValueSource(typeof(AllKernels), nameof(AllKernels.Names))] string kernel, [Values(-1L, 7L, long.MaxValue, long.MinValue)] long label)
    {
        using var run = new KernelRun(LossObjective.Sft, new double[21], null, [0, -100, label], ElementType.Float32);
        byte[] before = run.Bits();
        ArgumentOutOfRangeException? error = Assert.Throws<ArgumentOutOfRangeException>(() => run.Forward(AllKernels.Named(kernel)));
        Assert.That(error!.ParamName, Is.EqualTo("labels"));
        Assert.That(error.Message, Does.Contain($"labels[2] is {label}"));
        Assert.That(run.Bits(), Is.EqualTo(before));
    }

    [TestCaseSource(nameof(s_widths))]
    public void IgnoredRowsAreNotRead(string kernel) => KernelPromises.IgnoredRowsAreNotRead(AllKernels.Named(kernel));

    [TestCaseSource(nameof(s_widths))]
    public void RowsBeyondTwoToTheThirtyOneElements(string kernel)
    {
        const int Vocabulary = 40;
        const long Stride = (1L << 31) + 64;
        long bytes = (Stride + Vocabulary) * sizeof(ushort);
        byte* memory;
        try
        {
            // Untouched pages of it take no memory.
            memory = (byte*)NativeMemory.Alloc(checked((nuint)bytes));
        }
        catch (OutOfMemoryException)
        {
            Assert.Ignore("This system does not promise 4 GiB of address space.");
            return;
        }

        try
        {
            double[] logits = [.. Enumerable.Range(0, 2 * Vocabulary).Select(i => (i % 23) / 8.0)];
            using var near = new KernelRun(LossObjective.Dft, logits, null, [3, 39], ElementType.BFloat16);
            near.Forward(AllKernels.Named(kernel));
            LogitMatrix far = new(memory, ElementType.BFloat16, Stride);
            for (long row = 0; row < 2; row++)
            {
                Buffer.MemoryCopy(near.Logits.Row(row), far.Row(row), Vocabulary * 2, Vocabulary * 2);
            }

            TokenProblem problem = new()
            {
                Objective = LossObjective.Dft,
                Rows = 2,
                Vocabulary = Vocabulary,
                Logits = far,
                Labels = near.Problem.Labels,
            };
            using var outputs = new KernelRun(LossObjective.Dft, logits, null, [3, 39], ElementType.BFloat16);
            AllKernels.Named(kernel).Forward(problem, outputs.Outputs, new TokenGradient { Logits = far, Scale = 1 });
            Assert.That(outputs.Read(outputs.Outputs.Loss), Is.EqualTo(near.Read(near.Outputs.Loss)));
            Assert.That(
                new ReadOnlySpan<byte>(far.Row(1), Vocabulary * 2).SequenceEqual(new ReadOnlySpan<byte>(near.Gradient.Row(1), Vocabulary * 2)));
        }
        finally
        {
            NativeMemory.Free(memory);
        }
    }

    [TestCaseSource(nameof(s_widths))]
    public void SpecialValuesStayInTheirRow(string kernel)
    {
        const double Inf = double.PositiveInfinity;
        double[] plain = [0.5, 1, 1.5, 2, 0];
        double[] logits = [.. plain, 1, double.NaN, 2, 0, 1, .. plain, -Inf, -Inf, -Inf, -Inf, -Inf, 1, Inf, 0, 2, 1, .. plain];
        double[] reference = [.. plain, .. plain, .. plain, .. plain, .. plain, 1, double.NaN, 1, 1, 1];
        foreach (ElementType type in AllKernels.Types)
        {
            using var run = new KernelRun(LossObjective.Asft(), logits, reference, [0, 0, 0, 0, 0, 0], type);
            run.Forward(AllKernels.Named(kernel));
            double[] loss = run.Read(run.Outputs.Loss);
            Assert.That(loss.Select(double.IsNaN), Is.EqualTo(new[] { false, true, false, true, true, true }), $"{type}");
            double[] gradient = run.ReadMatrix(run.Gradient);
            for (int row = 0; row < 6; row++)
            {
                Assert.That(
                    gradient[(row * 5)..((row + 1) * 5)].Select(double.IsNaN), Is.All.EqualTo(double.IsNaN(loss[row])), $"{type} row {row}");
            }

            Assert.That(run.Predicted, Is.EqualTo(new long[] { 3, -1, 3, 0, -1, 3 }), $"{type}");
        }
    }

    [TestCaseSource(nameof(s_widths))]
    public void MassThatThePolicyExcludesIsAnInfiniteForwardKl(string kernel)
    {
        const double Out = double.NegativeInfinity;
        using var forward = new KernelRun(LossObjective.SftKl(1), [1, Out, 2], [1, 1, 2], [0], ElementType.Float32);
        forward.Forward(AllKernels.Named(kernel));
        Assert.That(forward.Read(forward.Outputs.Kl)[0], Is.EqualTo(double.PositiveInfinity));
        Assert.That(forward.ReadMatrix(forward.Gradient), Is.All.Matches<double>(double.IsFinite));

        using var reverse = new KernelRun(
            LossObjective.SftKl(1) with { KlDirection = KlDirection.Reverse }, [1, Out, 2], [1, 1, 2], [0], ElementType.Float32);
        reverse.Forward(AllKernels.Named(kernel));
        Assert.That(reverse.Read(reverse.Outputs.Kl)[0], Is.InRange(0.1, 1), "the reverse direction does not mind");
    }

    [TestCaseSource(nameof(s_widths))]
    public void AReferenceThatIsOnlyWatchedDoesNotTouchTheGradient(string kernel)
    {
        const double Out = double.NegativeInfinity;
        foreach (KlDirection direction in Enum.GetValues<KlDirection>())
        {
            foreach (double[] reference in new double[][] { [1, double.NaN, 2], [Out, Out, Out], [1, Out, 2] })
            {
                LossObjective objective = LossObjective.Dft with { KlDirection = direction };
                using var watched = new KernelRun(objective, [1, 2, 3], reference, [0], ElementType.Float32);
                using var alone = new KernelRun(objective, [1, 2, 3], null, [0], ElementType.Float32);
                watched.Forward(AllKernels.Named(kernel));
                alone.Forward(AllKernels.Named(kernel));
                Tolerance.AssertGradient(
                    watched.ReadMatrix(watched.Gradient), alone.ReadMatrix(alone.Gradient), ElementType.Float32, $"{direction} gradient");
            }
        }
    }

    [TestCaseSource(nameof(s_widths))]
    public void AReferenceThatTheObjectiveDoesNotNeedIsNotRead(string kernel) =>
        KernelPromises.AReferenceThatTheObjectiveDoesNotNeedIsNotRead(AllKernels.Named(kernel));
}
