using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests;

/// <summary>Terms that are infinite, and terms that no longer weigh anything.</summary>
public unsafe class InfiniteTermTests
{
    /// <summary>Where the reference gives a logit no mass that a double could hold, it does not matter that the policy excludes it.</summary>
    [Test]
    public void AnInfiniteTermWithoutWeightIsGone([Values(1, 4000)] int large, [Values(128, 256, 512)] int bits)
    {
        var policy = new double[5000];
        var reference = new double[5000];
        policy[0] = double.NegativeInfinity;
        reference[large] = 1000;
        ReferenceRow exact = ReferenceRow.Evaluate(LossObjective.SftKl(1), policy, reference, 7);
        Assert.That(exact.Kl, Is.EqualTo(Math.Log(4999)).Within(1e-12));
        using var run = new KernelRun(LossObjective.SftKl(1), policy, reference, [7], ElementType.Float32);
        run.Forward(AllKernels.Cpu(1, bits));
        Tolerance.AssertOutputs(run.Read(run.Outputs.Kl), [exact.Kl], ElementType.Float32, "KL");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), [exact.Loss], ElementType.Float32, "loss");
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), exact.Gradient, ElementType.Float32, "gradient");
    }

    /// <summary>The lowest float32, scaled, is below every float32: it is a finite logit all the same, and counted as one.</summary>
    [Test]
    public void SmoothingCountsFiniteMasksAlikeInBothPasses([Values(0.5, 2.0)] double scale, [Values(128, 256, 512)] int bits)
    {
        LossObjective objective = new() { LabelSmoothing = 0.3, LogitScale = scale };
        double[] logits = [1, float.MinValue, 2, float.MinValue, 0.5, double.NegativeInfinity];
        ReferenceRow exact = ReferenceRow.Evaluate(objective, logits, null, 2);
        foreach (bool deferred in new[] { false, true })
        {
            var kernel = AllKernels.Cpu(1, bits);
            using var run = new KernelRun(objective, logits, null, [2], ElementType.Float32);
            kernel.Forward(run.Problem, run.Outputs, deferred ? default : new TokenGradient { Logits = run.Gradient, Scale = 1 });
            if (deferred)
            {
                run.Backward(kernel, [1]);
            }

            Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), exact.Gradient, ElementType.Float32, "gradient");
        }
    }
}
