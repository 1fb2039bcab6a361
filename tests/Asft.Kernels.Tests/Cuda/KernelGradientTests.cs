using System.Runtime.InteropServices;
using Asft.PtxVm;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>The gradient at once, backward, and scaled afterwards; and that the device decides by itself when there is nothing to do.</summary>
[Parallelizable]
public unsafe class KernelGradientTests
{
    private const int Vocabulary = 18_003;

    [Test]
    [Pairwise]
    public void BackwardGivesWhatTheLossGave(
        [Values] ElementType type, [Values] KlDirection direction, [Values(0.0, 0.1)] double smoothing, [Values(0.0, 5.0)] double softcap,
        [Values] BlocksOfARow blocks)
    {
        LossObjective objective = LossObjective.Asft() with
        {
            KlDirection = direction,
            LabelSmoothing = smoothing,
            LogitSoftcap = softcap,
            ZLossWeight = 0.01,
        };
        var test = new RandomCase(objective, 3, Vocabulary, type, type, 1, false, 21);
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun atOnce = test.Run();
        using KernelRun later = test.Run();
        atOnce.Forward(kernel, scale: 0.5);
        kernel.Forward(later.Problem, later.Outputs, default);
        later.Backward(kernel, [0.5]);
        Tolerance.AssertGradient(later.ReadMatrix(later.Gradient), atOnce.ReadMatrix(atOnce.Gradient), type, "gradient");
    }

    [Test]
    [Pairwise]
    public void BackwardInPlaceGivesTheSameBits(
        [Values] ElementType type, [Values] KlDirection direction, [Values(0.0, 0.1)] double smoothing, [Values] BlocksOfARow blocks)
    {
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LabelSmoothing = smoothing };
        var test = new RandomCase(objective, 3, Vocabulary, type, type, 1, false, 21);
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun apart = test.Run();
        using KernelRun inPlace = test.Run();
        kernel.Forward(apart.Problem, apart.Outputs, default);
        kernel.Forward(inPlace.Problem, inPlace.Outputs, default);
        apart.Backward(kernel, [1]);
        inPlace.Backward(kernel, [1], inPlace: true);
        Assert.That(inPlace.ReadMatrix(inPlace.Logits), Is.EqualTo(apart.ReadMatrix(apart.Gradient)));
    }

    [Test]
    public void AReferenceOfAnotherType([Values] ElementType type, [Values] ElementType referenceType, [Values] BlocksOfARow blocks)
    {
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun same = new RandomCase(LossObjective.Asft(), 2, Vocabulary, type, type, 1, false, 5).Run();
        using KernelRun other = new RandomCase(LossObjective.Asft(), 2, Vocabulary, type, referenceType, 1, false, 5).Run();
        same.Forward(kernel);
        other.Forward(kernel);
        Tolerance.AssertOutputs(other.Read(other.Outputs.Loss), same.Read(same.Outputs.Loss), type, "loss");
        Tolerance.AssertGradient(other.ReadMatrix(other.Gradient), same.ReadMatrix(same.Gradient), type, "gradient");
        other.Backward(kernel, [1]);
        Tolerance.AssertGradient(other.ReadMatrix(other.Gradient), same.ReadMatrix(same.Gradient), type, "gradient backward");
    }

    [Test]
    public void RescaleAtOneTouchesNothing([Values] ElementType type)
    {
        MachineKernel kernel = MachineKernel.Get();
        using KernelRun run = new RandomCase(LossObjective.Asft(), 3, Vocabulary, type, type, 1, false, 21).Run();
        run.Forward(kernel);
        byte[] before = run.Bits();
        using var one = new Scalar(run.Accumulator, 1);
        kernel.Rescale(run.Problem, new TokenGradient { Logits = run.Gradient, Upstream = one.Address });
        LaunchCounts counts = kernel.Machine.LastLaunch;
        Assert.That(counts.Kernel, Is.EqualTo("rescale"));
        Assert.That(counts.Blocks, Is.EqualTo(2), "as many as run at once");
        Assert.That(counts.GlobalStoreRequests, Is.Zero);
        Assert.That(counts.DistinctSectorsRead, Is.EqualTo(1), "the factor alone is read");
        Assert.That(run.Bits(), Is.EqualTo(before));
    }

    [Test]
    public void RescaleMultiplies([Values] ElementType type, [Values(0.5, -2.0, 0.0)] double factor)
    {
        MachineKernel kernel = MachineKernel.Get();
        using KernelRun run = new RandomCase(LossObjective.Asft(), 3, Vocabulary, type, type, 1, false, 21).Run();
        run.Forward(kernel);
        double[] wanted = [.. run.ReadMatrix(run.Gradient).Select(g => g * factor)];
        using var scalar = new Scalar(run.Accumulator, factor);
        kernel.Rescale(run.Problem, new TokenGradient { Logits = run.Gradient, Upstream = scalar.Address });
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), wanted, type, "gradient");
    }

    [Test]
    public void RescaleLeavesIgnoredRowsZeroBeTheFactorInfinite([Values] ElementType type)
    {
        MachineKernel kernel = MachineKernel.Get();
        using KernelRun run = new RandomCase(LossObjective.Sft, 2, Vocabulary, type, type, 1, false, 21).Run();
        run.Problem.Labels[0] = 3;
        run.Problem.Labels[1] = -100;
        run.Forward(kernel);
        using var infinite = new Scalar(run.Accumulator, double.PositiveInfinity);
        kernel.Rescale(run.Problem, new TokenGradient { Logits = run.Gradient, Upstream = infinite.Address });
        double[] gradient = run.ReadMatrix(run.Gradient);
        Assert.That(gradient[Vocabulary..], Is.All.Zero);
        Assert.That(gradient[3], Is.EqualTo(double.NegativeInfinity));
    }

    [Test]
    public void BackwardUnlessOneDoesNothingAtOne([Values] ElementType type, [Values] BlocksOfARow blocks)
    {
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun run = new RandomCase(LossObjective.Asft(), 3, Vocabulary, type, type, 1, false, 21).Run();
        run.Forward(kernel);
        byte[] before = run.Bits();
        using var one = new Scalar(run.Accumulator, 1);
        var gradient = new TokenGradient { Logits = run.Gradient, Scale = 1, Upstream = one.Address };
        kernel.BackwardUnlessOne(run.Problem, run.Outputs, gradient, one.Address);
        Assert.That(kernel.Machine.LastLaunch.GlobalStoreRequests, Is.Zero);
        Assert.That(kernel.Machine.LastLaunch.DistinctSectorsRead, Is.EqualTo(1));
        Assert.That(run.Bits(), Is.EqualTo(before));

        using var two = new Scalar(run.Accumulator, 2);
        double[] wanted = [.. run.ReadMatrix(run.Gradient).Select(g => g * 2)];
        var doubled = new TokenGradient { Logits = run.Gradient, Scale = 1, Upstream = two.Address };
        kernel.BackwardUnlessOne(run.Problem, run.Outputs, doubled, two.Address);
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), wanted, type, "gradient", 2);
    }

    /// <summary>What mostly has nothing to do starts few blocks, and where there is something to do, they do all of it.</summary>
    [Test]
    public void FewBlocksTakeManyRows([Values] bool rescales, [Values] bool isTopK, [Values(2100, Vocabulary)] int vocabulary)
    {
        const int Rows = 5; // with the longer ones, two blocks share a row
        MachineKernel kernel = MachineKernel.Get(MachineKernel.DeviceWith(multiprocessors: 2));
        double[] logits = [.. Enumerable.Range(0, Rows * vocabulary).Select(i => i * 7919L % 64 / 16.0)];
        long[] entries = [.. Enumerable.Range(0, Rows).SelectMany(row => new long[] { row, 5 + (300 * row) })];
        using KernelRun run = isTopK
            ? new KernelRun(LossObjective.Asft(), logits, null, [1, -100, 3, 4, -100], ElementType.BFloat16, topKIndices: entries, topKLogProbabilities: [.. entries.Select(_ => -2.0)])
            : new KernelRun(LossObjective.Asft(), logits, [.. Enumerable.Reverse(logits)], [1, -100, 3, 4, -100], ElementType.BFloat16);
        run.Forward(kernel);
        double[] wanted = [.. run.ReadMatrix(run.Gradient).Select(g => g * 2)];
        using var two = new Scalar(run.Accumulator, 2);
        var gradient = new TokenGradient { Logits = run.Gradient, Scale = 1, Upstream = two.Address };
        if (rescales)
        {
            kernel.Rescale(run.Problem, gradient);
        }
        else
        {
            kernel.BackwardUnlessOne(run.Problem, run.Outputs, gradient, two.Address);
        }

        Assert.That(kernel.Machine.LastLaunch.Blocks, Is.EqualTo(4), "as many as run at once");
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), wanted, ElementType.BFloat16, "gradient", 2);
    }

    [Test]
    public void UpstreamFactorsOfIgnoredRowsDoNotMatter([Values] BlocksOfARow blocks)
    {
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun run = new RandomCase(LossObjective.Asft(), 3, Vocabulary, ElementType.BFloat16, ElementType.BFloat16, 1, false, 21).Run();
        run.Problem.Labels[0] = run.Problem.Labels[2] = 9;
        run.Problem.Labels[1] = -100;
        kernel.Forward(run.Problem, run.Outputs, default);
        run.Backward(kernel, [1, double.NaN, -1]);
        double[] gradient = run.ReadMatrix(run.Gradient);
        Assert.That(gradient[Vocabulary..(2 * Vocabulary)], Is.All.Zero);
        Assert.That(gradient[9], Is.Negative);
        Assert.That(gradient[(2 * Vocabulary) + 9], Is.Positive);
    }

    /// <summary>One number in native memory.</summary>
    private sealed class Scalar : IDisposable
    {
        public Scalar(ElementType type, double value)
        {
            Address = NativeMemory.AlignedAlloc(sizeof(double), 256);
            ScalarElement.Write(Address, type, 0, value);
        }

        public void* Address { get; }

        public void Dispose() => NativeMemory.AlignedFree(Address);
    }
}
