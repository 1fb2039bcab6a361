using System.Runtime.InteropServices;
using Asft.PtxVm;

namespace Asft.Kernels.Tests.Cuda;

/// <summary>Labels out of range, and what is added up over all tokens.</summary>
[Parallelizable]
public unsafe class KernelLabelTests
{
    private const int Vocabulary = 18_003;

    [Test]
    public void ALabelOutOfRangeMakesItsRowNaNAndSurfacesWhereItIsAskedFor(
        [Values(-1L, (long)Vocabulary, long.MaxValue, long.MinValue, 1L << 32)] long label, [Values] BlocksOfARow blocks)
    {
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun run = new RandomCase(
            LossObjective.Asft(), 3, Vocabulary, ElementType.BFloat16, ElementType.BFloat16, 1, false, 21).Run();
        run.Problem.Labels[0] = run.Problem.Labels[2] = 9;
        run.Problem.Labels[1] = label;
        using (Shown(kernel, run))
        {
            kernel.Device.Forward(run.Problem, run.Outputs, new TokenGradient { Logits = run.Gradient, Scale = 1 });
            Assert.That(run.Read(run.Outputs.Loss).Select(double.IsNaN), Is.EqualTo(new[] { false, true, false }));
            Assert.That(run.Predicted[1], Is.EqualTo(-1));
            double[] gradient = run.ReadMatrix(run.Gradient);
            Assert.That(gradient[Vocabulary..(2 * Vocabulary)], Is.All.NaN);
            Assert.That(gradient[..Vocabulary], Has.None.NaN);
            Assert.That(gradient[(2 * Vocabulary)..], Has.None.NaN);

            Assert.DoesNotThrow(() => kernel.Device.Forward(run.Problem, run.Outputs, default));
            ArgumentOutOfRangeException? error = Assert.Throws<ArgumentOutOfRangeException>(kernel.Device.ThrowIfFaulted);
            Assert.That(error!.Message, Does.Contain($"labels[1] is {label}").And.Contain($"[0, {Vocabulary})"));
            Assert.DoesNotThrow(kernel.Device.ThrowIfFaulted, "thrown once");
        }

        run.Problem.Labels[1] = Vocabulary - 1;
        Assert.DoesNotThrow(() => run.Forward(kernel), "the next problem has nothing to do with it");
        Assert.That(run.Read(run.Outputs.Loss), Has.None.NaN);
    }

    [Test]
    public void TheLossHasReportedItSoBackwardDoesNot([Values] BlocksOfARow blocks)
    {
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun run = new RandomCase(
            LossObjective.Sft, 2, Vocabulary, ElementType.Float32, ElementType.Float32, 1, false, 21).Run();
        run.Problem.Labels[0] = Vocabulary;
        run.Problem.Labels[1] = 9;
        Assert.That(
            () => kernel.Forward(run.Problem, run.Outputs, default),
            Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains($"labels[0] is {Vocabulary}"));
        Assert.DoesNotThrow(() => run.Backward(kernel, [1]));
        Assert.That(run.ReadMatrix(run.Gradient)[..Vocabulary], Is.All.NaN);
        Assert.That(run.ReadMatrix(run.Gradient)[Vocabulary..], Has.None.NaN);
    }

    /// <summary>Whatever is called next has work of its own to do, in a backward pass above all.</summary>
    [Test]
    public void NothingElseThrowsTheFaultOfAnEarlierCall([Values] BlocksOfARow blocks)
    {
        MachineKernel kernel = MachineKernel.Get(blocks);
        using KernelRun wrong = new RandomCase(LossObjective.Sft, 2, Vocabulary, ElementType.Float32, ElementType.Float32, 1, false, 21).Run();
        using KernelRun right = new RandomCase(LossObjective.Sft, 2, Vocabulary, ElementType.Float32, ElementType.Float32, 1, false, 21).Run();
        wrong.Problem.Labels[0] = Vocabulary;
        float* cells = stackalloc float[] { 2, 0 };
        var gradient = new TokenGradient { Logits = right.Gradient, Scale = 1, Upstream = cells };
        kernel.Shown.Forward(wrong.Problem, wrong.Outputs, default);
        Assert.DoesNotThrow(() =>
        {
            kernel.Shown.Forward(right.Problem, right.Outputs, default);
            kernel.Shown.Backward(right.Problem, right.Outputs, gradient);
            kernel.Shown.BackwardUnlessOne(right.Problem, right.Outputs, gradient, cells);
            kernel.Shown.Rescale(right.Problem, gradient);
            kernel.Shown.Total(right.Outputs.Loss, 2, ElementType.Float32, null, cells + 1);
        });
        Assert.DoesNotThrow(() => Count(kernel, [1, 2, 3], true, null, ElementType.Float32));
        Assert.That(right.ReadMatrix(right.Gradient), Has.Some.Not.Zero.And.None.NaN);
        Assert.That(
            kernel.Device.ThrowIfFaulted, Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains($"labels[0] is {Vocabulary}"));
    }

    [Test]
    public void OfSeveralLabelsOutOfRangeOneIsReported()
    {
        MachineKernel kernel = MachineKernel.Get();
        using KernelRun run = new RandomCase(LossObjective.Sft, 5, 50, ElementType.Float32, ElementType.Float32, 1, false, 21).Run();
        for (int row = 0; row < 5; row++)
        {
            run.Problem.Labels[row] = 50 + row;
        }

        ArgumentOutOfRangeException? error = Assert.Throws<ArgumentOutOfRangeException>(() => run.Forward(kernel));
        Assert.That(Enumerable.Range(0, 5).Count(row => error!.Message.Contains($"labels[{row}] is {50 + row},", StringComparison.Ordinal)), Is.EqualTo(1));
        Assert.That(run.Read(run.Outputs.Loss), Is.All.NaN);
    }

    [Test]
    public void TheFirstAndTheLastLabel([Values] ElementType type, [Values(1, 2, 64, 3001)] int vocabulary)
    {
        MachineKernel kernel = MachineKernel.Get();
        double[] logits = [.. Enumerable.Range(0, 2 * vocabulary).Select(i => i % 16 / 8.0)];
        using var run = new KernelRun(LossObjective.Sft, logits, null, [0, vocabulary - 1], type);
        run.Forward(kernel);
        double[] gradient = run.ReadMatrix(run.Gradient);
        Assert.That(gradient[0], vocabulary == 1 ? Is.Zero.Within(1e-6) : Is.Negative);
        Assert.That(gradient[(2 * vocabulary) - 1], vocabulary == 1 ? Is.Zero.Within(1e-6) : Is.Negative);
        Assert.That(gradient.Count(g => g < -1e-6), Is.EqualTo(vocabulary == 1 ? 0 : 2));
    }

    [Test]
    public void CountsTokens([Values(0, 1, 511, 5000)] int rows, [Values] bool isMean, [Values(ElementType.Float32, ElementType.Float64)] ElementType type)
    {
        MachineKernel kernel = MachineKernel.Get();
        var random = new Random(rows);
        long[] labels = [.. Enumerable.Range(0, rows).Select(_ => random.Next(3) == 0 ? -7L : random.Next(100))];
        int counted = labels.Count(label => label != -7);
        (long found, double factor) = Count(kernel, labels, isMean, null, type);
        Assert.That(found, Is.EqualTo(counted));
        Assert.That(factor, Is.EqualTo(isMean && counted > 0 ? 1.0 / counted : 1).Within(type == ElementType.Float64 ? 0 : 1e-7));
    }

    [TestCase(8.0, 0.125)]
    [TestCase(0.0, double.NaN)]
    [TestCase(-3.0, double.NaN)]
    [TestCase(double.NaN, double.NaN)]
    [TestCase(double.PositiveInfinity, double.NaN)]
    public void ADenominatorThatTheCallerGave(double denominator, double factor)
    {
        Assert.That(Count(MachineKernel.Get(), [1, 2, 3], true, denominator, ElementType.Float32).Factor, Is.EqualTo(factor));
        Assert.That(Count(MachineKernel.Get(), [1, 2, 3], false, denominator, ElementType.Float32).Factor, Is.EqualTo(1));
        Assert.That(Count(MachineKernel.Get(), [-7, -7], true, denominator, ElementType.Float32).Factor, Is.EqualTo(1), "no token counts");
    }

    [Test]
    public void AddsUpInFloat64([Values(0, 1, 513, 3000)] int rows, [Values(ElementType.Float32, ElementType.Float64)] ElementType type, [Values] bool scaled)
    {
        MachineKernel kernel = MachineKernel.Get();
        PtxMachine machine = kernel.Machine;
        int size = type == ElementType.Float64 ? 8 : 4;
        void* losses = NativeMemory.AlignedAlloc((nuint)Math.Max(8, rows * size), 8);
        double* cells = stackalloc double[2];
        double sum = 0;
        for (int i = 0; i < rows; i++)
        {
            double value = i == 0 ? 1e6 : 0.015625 * (i % 9);
            sum += value;
            ScalarElement.Write(losses, type, i, value);
        }

        ScalarElement.Write(cells, type, 0, 0.25);
        using (var shown = new ShownMemory(machine))
        {
            shown.Array(losses, rows * size, "losses", true);
            shown.Array(cells, size, "factor", true);
            shown.Array(cells + 1, size, "total", false);
            kernel.Device.Total(losses, rows, type, scaled ? cells : null, cells + 1);
        }

        double wanted = scaled ? sum * 0.25 : sum;
        Assert.That(ScalarElement.Read(cells + 1, type, 0), Is.EqualTo(type == ElementType.Float64 ? wanted : (float)wanted));
        NativeMemory.AlignedFree(losses);
    }

    private static (long Counted, double Factor) Count(MachineKernel kernel, long[] labels, bool isMean, double? denominator, ElementType type)
    {
        long* counted = stackalloc long[1];
        double* factor = stackalloc double[1];
        double given = denominator ?? 0;
        fixed (long* pinned = labels)
        {
            using var shown = new ShownMemory(kernel.Machine);
            shown.Array(pinned, labels.Length * sizeof(long), "labels", true);
            shown.Array(counted, sizeof(long), "counted", false);
            shown.Array(factor, ShownMemory.RealBytes(type), "factor", false);
            shown.Array(&given, sizeof(double), "denominator", true);
            kernel.Device.Count(new TokenCounting
            {
                Labels = pinned,
                Rows = labels.Length,
                IgnoreIndex = -7,
                IsMean = isMean,
                Denominator = denominator is null ? null : &given,
                Type = type,
                Counted = counted,
                Factor = factor,
            });
        }

        return (*counted, ScalarElement.Read(factor, type, 0));
    }

    private static ShownMemory Shown(MachineKernel kernel, KernelRun run)
    {
        var shown = new ShownMemory(kernel.Machine);
        shown.Problem(run.Problem, readsReference: true);
        shown.Outputs(run.Problem, run.Outputs, isSaved: false);
        shown.Gradient(run.Problem, new TokenGradient { Logits = run.Gradient, Scale = 1 }, isFinished: false);
        return shown;
    }
}
