using Asft.Kernels.Cpu;
using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests;

/// <summary>Constants and weights near the end of what float32 holds: computed, or refused by name.</summary>
public unsafe class LargeConstantTests
{
    private static readonly ReferenceTokenLossKernel s_reference = new();

    [Test]
    public void ConstantsThatFloat32CannotHoldAreRefusedByName([Values] ElementType type)
    {
        (string Name, LossObjective Objective)[] all =
        [
            ("KlWeight", new() { KlWeight = 1e39 }),
            ("ZLossWeight", new() { ZLossWeight = 1e39 }),
            ("LogitScale", new() { LogitScale = 1e39 }),
            ("LogitSoftcap", new() { LogitSoftcap = 1e39 }),
        ];
        foreach ((string name, LossObjective objective) in all)
        {
            if (type == ElementType.Float64)
            {
                Assert.DoesNotThrow(() => objective.CheckFits(type), name);
                continue;
            }

            var error = Assert.Throws<ArgumentOutOfRangeException>(() => objective.CheckFits(type), name)!;
            Assert.That(error.Message, Does.Contain(name).And.Contain("1E+39"));
        }
    }

    [Test]
    public void ALargeScaleOfOrdinaryLogitsIsExact([Values(1e5, 1e10, 1e30)] double scale, [Values] KlDirection direction)
    {
        LossObjective objective = LossObjective.Asft() with { LogitScale = scale, KlDirection = direction };
        AssertExact(objective, [1, 2, 3, 3, -1], [1, 2, 3, 3, -1], 2);
    }

    /// <summary>The weight p/q is above every float32, what it is multiplied with is so small that the gradient is ordinary.</summary>
    [Test]
    public void TheGradientOfARatioAboveFloat32IsExact([Values(128, 256, 512)] int bits, [Values] bool deferred)
    {
        LossObjective objective = new() { Weighting = TokenWeighting.ImportanceRatio };
        double[] policy = [93, 0, -2, 10, 1];
        double[] reference = [-93, 0, -200, -90, -60];
        AssertGradient(objective, policy, reference, 0, AllKernels.Cpu(1, bits), deferred);
    }

    private static void AssertExact(LossObjective objective, double[] policy, double[] reference, long label)
    {
        foreach (int bits in new[] { 128, 256, 512 })
        {
            foreach (bool deferred in new[] { false, true })
            {
                var kernel = AllKernels.Cpu(1, bits);
                AssertGradient(objective, policy, reference, label, kernel, deferred);
                using var run = new KernelRun(objective, policy, reference, [label], ElementType.Float32);
                run.Forward(kernel);
                ReferenceRow exact = ReferenceRow.Evaluate(objective, policy, reference, label);
                Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), [exact.Loss], ElementType.Float32, "loss");
            }
        }
    }

    private static void AssertGradient(
        LossObjective objective, double[] policy, double[] reference, long label, CpuTokenLossKernel kernel, bool deferred)
    {
        using var exact = new KernelRun(objective, policy, reference, [label], ElementType.Float64);
        using var run = new KernelRun(objective, policy, reference, [label], ElementType.Float32);
        exact.Forward(s_reference);
        if (deferred)
        {
            kernel.Forward(run.Problem, run.Outputs, default);
            run.Backward(kernel, [1]);
        }
        else
        {
            run.Forward(kernel);
        }

        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), exact.ReadMatrix(exact.Gradient), ElementType.Float32, "gradient");
    }
}
