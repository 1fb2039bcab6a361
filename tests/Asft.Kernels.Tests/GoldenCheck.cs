namespace Asft.Kernels.Tests;

/// <summary>A golden case through the kernel seam: in every storage type that can hold its logits, in place and not, with an entropy among the outputs and not, at once and backward.</summary>
internal static unsafe class GoldenCheck
{
    public static void Run(ITokenLossKernel kernel, string name)
    {
        GoldenCase golden = GoldenCase.Load(name);
        int held = 0;
        foreach (ElementType type in AllKernels.Types)
        {
            if (!KernelRun.Holds(golden.Logits, type) || (golden.Reference is not null && !KernelRun.Holds(golden.Reference, type)))
            {
                continue;
            }

            held++;
            foreach (bool inPlace in new[] { false, true })
            {
                using KernelRun run = Start(golden, type, padding: 3, entropy: !inPlace);
                run.Forward(kernel, inPlace);
                Check(golden, run, inPlace ? run.Logits : run.Gradient, $"{type} in place {inPlace}");
            }

            using KernelRun later = Start(golden, type);
            kernel.Forward(later.Problem, later.Outputs, default);
            later.Backward(kernel, [1]);
            Check(golden, later, later.Gradient, $"{type} backward");
        }

        Assert.That(held, Is.AtLeast(1), "No storage type holds the logits.");
    }

    private static KernelRun Start(GoldenCase golden, ElementType type, int padding = 0, bool entropy = false) => new(
        golden.Objective,
        golden.Logits,
        golden.Reference,
        golden.Labels,
        type,
        null,
        padding,
        golden.Weights,
        golden.LabelLogProbabilities,
        golden.TopKIndices,
        golden.TopKLogProbabilities,
        entropy);

    private static void Check(GoldenCase golden, KernelRun run, LogitMatrix gradient, string what)
    {
        double[] Exact(Func<GoldenToken, double> select) => [.. golden.Tokens.Select(token => token is null ? 0 : select(token))];

        Tolerance.AssertOutputs(run.Read(run.Outputs.Loss), Exact(t => t.Loss), run.Type, $"{what}: loss");
        Tolerance.AssertOutputs(run.Read(run.Outputs.LogProbability), Exact(t => t.LogProbability), run.Type, $"{what}: log-probability");
        Tolerance.AssertOutputs(run.Read(run.Outputs.LogSumExp), Exact(t => t.LogSumExp), run.Type, $"{what}: lse");
        Told(run.Outputs.ReferenceLogSumExp, t => t.ReferenceLogSumExp, "reference lse");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Weight), Exact(t => t.Weight), run.Type, $"{what}: weight");
        Tolerance.AssertOutputs(run.Read(run.Outputs.Kl), Exact(t => t.Kl), run.Type, $"{what}: KL");
        Told(run.Outputs.Entropy, t => t.Entropy, "entropy");
        Told(run.Outputs.SquaredProbabilitySum, t => t.SquaredProbabilitySum, "sum of squares");
        Told(run.Outputs.ReferenceLogProbability, t => t.ReferenceLogProbability, "reference log-probability");
        double[] exact = [.. golden.Tokens.SelectMany(token => token?.Gradient ?? new double[golden.Vocabulary])];
        Tolerance.AssertGradient(run.ReadMatrix(gradient), exact, run.Type, $"{what}: gradient");

        void Told(void* output, Func<GoldenToken, double?> select, string name)
        {
            if (output != null && golden.Tokens.All(token => token is null || select(token) is not null))
            {
                Tolerance.AssertOutputs(run.Read(output), Exact(t => select(t)!.Value), run.Type, $"{what}: {name}");
            }
        }
    }
}
