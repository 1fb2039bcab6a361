using Asft.Kernels;
using Asft.Kernels.Portable;
using Asft.Kernels.Reference;
using Asft.Tests.Kernels;
using CsCheck;
using NUnit.Framework;

namespace Asft.Tests.Portable;

/// <summary>The portable kernel against the double-precision reference, and what holds for every input.</summary>
[TestFixtureSource(typeof(Devices), nameof(Devices.Names))]
public unsafe class PropertyTests(string device)
{
    private static readonly ReferenceTokenLossKernel s_reference = new();

    /// <summary>
    /// Most cases compile a program of their own, which takes far longer than to run it, above all where LLVM does it.
    /// </summary>
    private int Cases => Devices.Named(device).IsEmulated ? 30 : 8;

    [Test]
    public void AgreesWithTheReference()
    {
        PortableTokenLossKernel kernel = Devices.Kernel(device);
        RandomCase.Any.Sample(test =>
        {
            using KernelRun exact = test.Run(exact: true);
            using KernelRun actual = test.Run();
            exact.Forward(s_reference, scale: 0.25);
            actual.Forward(kernel, test.InPlace, scale: 0.25);
            test.AssertAgree(actual, exact, 0.25);
        }, iter: Cases);
    }

    [Test]
    public void BackwardAgreesWithTheReferenceForAnyUpstreamGradient()
    {
        PortableTokenLossKernel kernel = Devices.Kernel(device);
        Gen.Select(RandomCase.Any, Gen.Bool).Sample((test, scalar) =>
        {
            using KernelRun exact = test.Run(exact: true);
            using KernelRun actual = test.Run();
            var random = new Random(test.Seed);
            double[] upstream = [.. Enumerable.Range(0, scalar ? 1 : test.Rows).Select(_ => random.Next(-8, 9) / 4.0)];
            exact.Forward(s_reference);
            exact.Backward(s_reference, upstream, scale: 0.5);
            kernel.Forward(actual.Problem, actual.Outputs, default);
            actual.Backward(kernel, upstream, test.InPlace, scale: 0.5);
            test.AssertAgree(actual, exact, 2);
        }, iter: Cases);
    }

    [Test]
    public void RowsInAnyOrder()
    {
        PortableTokenLossKernel kernel = Devices.Kernel(device);
        LossObjective objective = LossObjective.Asft();
        var test = new RandomCase(objective, 6, 50, ElementType.Float32, ElementType.BFloat16, 3, false, 5);
        using KernelRun plain = test.Run();
        using KernelRun moved = test.Run();
        plain.Forward(kernel);

        // Row i of the moved problem is row order[i] of the plain one.
        long[] order = [2, 3, 4, 0, 5, 1];
        long* offsets = stackalloc long[6];
        long* labels = stackalloc long[6];
        for (int i = 0; i < 6; i++)
        {
            offsets[i] = order[i] * moved.Stride;
            labels[i] = moved.Problem.Labels[order[i]];
        }

        TokenProblem problem = new()
        {
            Objective = objective,
            Rows = 6,
            Vocabulary = 50,
            Logits = new LogitMatrix(moved.Logits.Data, ElementType.Float32, offsets),
            Reference = new LogitMatrix(moved.Problem.Reference.Data, ElementType.BFloat16, offsets),
            Labels = labels,
        };
        TokenGradient gradient = new() { Logits = new LogitMatrix(moved.Gradient.Data, ElementType.Float32, offsets), Scale = 1 };
        kernel.Forward(problem, moved.Outputs, gradient);
        Assert.That(moved.ReadMatrix(moved.Gradient), Is.EqualTo(plain.ReadMatrix(plain.Gradient)));
        double[] loss = plain.Read(plain.Outputs.Loss);
        Assert.That(moved.Read(moved.Outputs.Loss), Is.EqualTo(order.Select(row => loss[row])));
    }

    [Test]
    public void TheSameInputGivesTheSameBits([Values] bool inPlace)
    {
        PortableTokenLossKernel kernel = Devices.Kernel(device);
        LossObjective objective = LossObjective.Asft() with { LabelSmoothing = 0.1 };
        var test = new RandomCase(objective, 5, 3001, ElementType.Float32, ElementType.Float32, 5, inPlace, 42);
        byte[]? first = null;
        for (int i = 0; i < 5; i++)
        {
            using KernelRun run = test.Run();
            run.Forward(kernel, inPlace);
            byte[] bits = run.Bits();
            Assert.That(bits, Is.EqualTo(first ?? bits));
            first = bits;
        }
    }

    [Test]
    public void IdenticalRowsHaveAKlOfExactlyZero(
        [Values(ElementType.Float32, ElementType.Float64)] ElementType type, [Values] KlDirection direction, [Values(0.0, 30.0)] double softcap)
    {
        var random = new Random(3);
        double[] logits = [.. Enumerable.Range(0, 2 * 5003).Select(_ => (random.NextDouble() * 60) - 30)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction, LogitScale = 0.7, LogitSoftcap = softcap };
        using var run = new KernelRun(objective, logits, logits, [1, 2], type);
        Devices.Kernel(device).Forward(run.Problem, run.Outputs, default);
        Assert.That(run.Read(run.Outputs.Kl), Is.All.Zero);
    }

    [Test]
    public void AConstantOffsetBetweenTheModelsDoesNotDisturbTheKl([Values] KlDirection direction)
    {
        // Offsets cancel in the softmax; measured from zero, they would cancel in the sum instead, and take the digits with them.
        double[] logits = [.. Enumerable.Range(0, 1000).Select(i => (i % 64) / 16.0)];
        LossObjective objective = LossObjective.Asft() with { KlDirection = direction };
        using var run = new KernelRun(objective, logits, [.. logits.Select(x => x + 1000)], [5], ElementType.Float32);
        run.Forward(Devices.Kernel(device));
        Assert.That(run.Read(run.Outputs.Kl)[0], Is.LessThan(1e-6));
    }

    [Test]
    public void SmallProbabilitiesBesideALargeOneAreNotRoundedAway()
    {
        // Each of the small ones is less than two units in the last place of the sum that holds the large one.
        double[] logits = [10, .. Enumerable.Range(1, 150_000).Select(i => -5.5 + ((i % 8) / 128.0))];
        double[] reference = [10, .. Enumerable.Range(1, 150_000).Select(i => -5.5 + ((i % 8) / 64.0))];
        using var exact = new KernelRun(LossObjective.Asft(), logits, reference, [0], ElementType.Float64);
        using var run = new KernelRun(LossObjective.Asft(), logits, reference, [0], ElementType.Float32);
        exact.Forward(s_reference);
        run.Forward(Devices.Kernel(device));
        Tolerance.AssertOutputs(run.Read(run.Outputs.LogSumExp), exact.Read(exact.Outputs.LogSumExp), ElementType.Float32, "lse");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Kl), exact.Read(exact.Outputs.Kl), ElementType.Float32, "KL");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), exact.Read(exact.Outputs.Loss), ElementType.Float32, "loss");
    }

    [Test]
    public void OfEqualLogitsTheFirstIsPredicted()
    {
        double[] logits = new double[3000];
        logits[700] = logits[1501] = logits[2999] = 4;
        using var run = new KernelRun(LossObjective.Sft, logits, null, [0], ElementType.Float32);
        run.Forward(Devices.Kernel(device));
        Assert.That(run.Predicted, Is.EqualTo(new long[] { 700 }));
    }
}
