using System.Globalization;
using Asft.Kernels.Cpu;
using Asft.Kernels.Reference;

namespace Asft.Kernels.Tests;

/// <summary>
/// Rows of finite logits of every size: masks written as finite numbers, outliers, offsets, of both signs, up to the largest that the
/// type holds. Every backend owes the exact value of each; NaN or infinity only where that is not a number of the result's type.
/// </summary>
internal static unsafe class FiniteSweep
{
    /// <summary>What float32 may lose of a KL, a metric; the loss that it is part of is promised to less, and held to it here.</summary>
    private const double OfDivergence = 4e-6;

    private static readonly double[] s_magnitudes = [1, 30, 1e3, 6e4, 1e5, 4.467e7, 1e9, 5e9, 1e10, 1e15, 1e20, 1e30];

    /// <summary>What a magnitude does to a row of ordinary logits.</summary>
    private enum Shape
    {
        WholeRow,
        FirstHalf,
        AllButTheLabel,
        OneLogit,
        TheLabel,
        Offset,
    }

    /// <summary>Where the reference has it too.</summary>
    private enum Anchor
    {
        Both,
        PolicyAlone,
        ReferenceAlone,
    }

    /// <summary>Objectives by name: every way a term of the loss can meet such logits.</summary>
    public static IReadOnlyDictionary<string, LossObjective> Objectives { get; } = new Dictionary<string, LossObjective>
    {
        ["sft"] = LossObjective.Sft,
        ["dft"] = LossObjective.Dft,
        ["asft"] = LossObjective.Asft(0.5),
        ["reverse"] = LossObjective.Asft(0.5) with { KlDirection = KlDirection.Reverse },
        ["ratio"] = new() { Weighting = TokenWeighting.ImportanceRatio, WeightMax = 3 },
        ["smoothing"] = LossObjective.SftKl(0.1) with { LabelSmoothing = 0.1, LogitScale = 0.7 },
        ["softcap"] = LossObjective.Asft() with { LogitSoftcap = 5, LabelSmoothing = 0.1 },
        ["scale"] = LossObjective.Asft() with { LogitScale = 3, KlDirection = KlDirection.Reverse, ZLossWeight = 1e-4 },
    };

    /// <summary>Fails unless each result of each row is the exact one.</summary>
    /// <param name="kernel">The backend.</param>
    /// <param name="name">One of <see cref="Objectives"/>.</param>
    /// <param name="type">Storage of policy and reference.</param>
    /// <param name="vocabulary">V.</param>
    /// <param name="every">Takes one case of so many; all of them with ASFT_SWEEP=all in the environment.</param>
    /// <param name="shards">Takes each row in three shards, one of them a single logit, instead of whole.</param>
    public static void AssertExact(ITokenLossKernel kernel, string name, ElementType type, int vocabulary, int every = 1, bool shards = false)
    {
        LossObjective objective = Objectives[name];
        every = Environment.GetEnvironmentVariable("ASFT_SWEEP") == "all" ? 1 : every;
        (string What, double[] Policy, double[] Reference, long Label)[] rows =
            [.. Rows(type, vocabulary).Where((_, i) => i % every == name.Length % every)];
        double[] logits = [.. rows.SelectMany(row => row.Policy)];
        double[] reference = [.. rows.SelectMany(row => row.Reference)];
        long[] labels = [.. rows.Select(row => row.Label)];
        ReferenceRow[] exact = new ReferenceRow[rows.Length];
        Parallel.For(0, rows.Length, i => exact[i] = ReferenceRow.Evaluate(objective, rows[i].Policy, rows[i].Reference, rows[i].Label));

        List<string> wrong = [];
        string[] modes = !shards ? ["gradient", "in place", "deferred"] : kernel is CpuTokenLossKernel ? ["shards", "kept shards"] : ["shards"];
        foreach (string mode in modes)
        {
            using var run = new KernelRun(objective, logits, reference, labels, type);
            if (shards)
            {
                int[] cuts = [0, vocabulary / 3, (vocabulary / 3) + 1, vocabulary];
                KernelPromises.InShards(kernel, run, cuts, 1, inPlace: false, scale: 1, keeps: mode == "kept shards");
            }
            else if (mode == "deferred")
            {
                kernel.Forward(run.Problem, run.Outputs, default);
                run.Backward(kernel, [1]);
            }
            else
            {
                run.Forward(kernel, inPlace: mode == "in place");
            }

            Compare(rows, exact, run, mode == "in place" ? run.Logits : run.Gradient, mode, wrong);
        }

        if (wrong.Count > 0)
        {
            Assert.Fail($"{wrong.Count} wrong results in {rows.Length} rows:\n" + string.Join('\n', wrong.Take(12)));
        }
    }

    private static void Compare(
        (string What, double[] Policy, double[] Reference, long Label)[] rows, ReferenceRow[] exact, KernelRun run, LogitMatrix gradients,
        string mode, List<string> wrong)
    {
        double[] losses = run.Read(run.Outputs.Loss);
        double[] probabilities = run.Read(run.Outputs.LogProbability);
        double[] logSumExps = run.Read(run.Outputs.LogSumExp);
        double[] divergences = run.Read(run.Outputs.Kl);
        double[] gradient = run.ReadMatrix(gradients);
        bool wide = run.Type == ElementType.Float64;
        double largest = run.Type == ElementType.Float64 ? double.MaxValue : float.MaxValue;
        for (int i = 0; i < rows.Length; i++)
        {
            bool Check(string what, double actual, double expected, double absolute, double relative)
            {
                bool right = Math.Abs(expected) > 0.999 * largest || !double.IsFinite(expected)
                    || Math.Abs(actual - expected) <= absolute + (relative * Math.Abs(expected));
                if (!right)
                {
                    wrong.Add(string.Create(
                        CultureInfo.InvariantCulture, $"{rows[i].What}, {mode}: {what} is {actual:R}, should be {expected:R}"));
                }

                return right;
            }

            // In float64 the exact values have no more digits themselves, where the distance of two logits is far larger than the result.
            double rounding = wide && run.Problem.Objective.KlDirection == KlDirection.Reverse
                ? 4e-16 * rows[i].Policy.Concat(rows[i].Reference).Max(Math.Abs)
                : 0;
            double unit = wide ? 1e-11 + rounding : 2e-6;
            bool right = Check("loss", losses[i], exact[i].Loss, unit, unit)
                & Check("log-probability", probabilities[i], exact[i].LogProbability, unit, unit)
                & Check("log-sum-exp", logSumExps[i], exact[i].LogSumExp, unit, unit)
                & Check("KL", divergences[i], exact[i].Kl, wide ? unit : OfDivergence, wide ? unit : OfDivergence);

            // A row whose loss is no number of its type has no gradient either.
            int vocabulary = rows[i].Policy.Length;
            (double absolute, double relative) = run.Type switch
            {
                ElementType.Float64 => (1e-11 + rounding, 1e-11),
                ElementType.Float32 => (2e-6, 1e-5),
                ElementType.BFloat16 => (2e-6, 1e-5 + Math.ScaleB(1, -8)),
                _ => (2e-6, 1e-5 + Math.ScaleB(1, -11)),
            };
            largest = run.Type == ElementType.Float16 ? 65504 : largest;
            bool exists = right && double.IsFinite(losses[i]) && double.IsFinite(divergences[i]) && double.IsFinite(exact[i].Loss);
            for (int j = 0; exists && j < vocabulary; j++)
            {
                exists = Check($"gradient[{j}] (label {rows[i].Label})", gradient[(i * vocabulary) + j], exact[i].Gradient[j], absolute, relative);
            }

            largest = run.Type == ElementType.Float64 ? double.MaxValue : float.MaxValue;
        }
    }

    private static IEnumerable<(string What, double[] Policy, double[] Reference, long Label)> Rows(ElementType type, int vocabulary)
    {
        double largest = Largest(type);
        var random = new Random(20251125);
        foreach (double magnitude in s_magnitudes.Where(m => m < largest).Append(largest))
        {
            foreach (double value in new[] { magnitude, -magnitude })
            {
                foreach (Shape shape in Enum.GetValues<Shape>())
                {
                    foreach (Anchor anchor in Enum.GetValues<Anchor>())
                    {
                        double[] policy = Ordinary(random, vocabulary);
                        double[] reference = Ordinary(random, vocabulary);
                        long label = random.Next(vocabulary);
                        if (anchor != Anchor.ReferenceAlone)
                        {
                            Put(policy, value, shape, label);
                        }

                        if (anchor != Anchor.PolicyAlone)
                        {
                            Put(reference, value, shape, label);
                        }

                        yield return (
                            string.Create(CultureInfo.InvariantCulture, $"{value:G6} {shape} {anchor}"),
                            [.. policy.Select(x => Stored(x, type))],
                            [.. reference.Select(x => Stored(x, type))],
                            label);
                    }
                }
            }
        }
    }

    private static double[] Ordinary(Random random, int vocabulary) =>
        [.. Enumerable.Range(0, vocabulary).Select(_ => random.Next(-64, 65) / 16.0)];

    private static void Put(double[] row, double value, Shape shape, long label)
    {
        for (int i = 0; i < row.Length; i++)
        {
            bool here = shape switch
            {
                Shape.WholeRow or Shape.Offset => true,
                Shape.FirstHalf => i < row.Length / 2,
                Shape.AllButTheLabel => i != label,
                Shape.TheLabel => i == label,
                _ => i == (label + 1) % row.Length,
            };
            row[i] = here ? value + (shape == Shape.Offset ? row[i] : 0) : row[i];
        }
    }

    private static double Stored(double value, ElementType type)
    {
        double cell = 0;
        ScalarElement.Write(&cell, type, 0, value);
        double stored = ScalarElement.Read(&cell, type, 0);
        return double.IsFinite(stored) ? stored : value > 0 ? Largest(type) : -Largest(type);
    }

    /// <summary>In float64 a little is left for sums over the vocabulary, which have no wider type to be done in.</summary>
    private static double Largest(ElementType type) => type switch
    {
        ElementType.Float64 => 1e300,
        ElementType.Float32 => float.MaxValue,
        ElementType.BFloat16 => BitConverter.UInt32BitsToSingle(0x7F7F0000),
        _ => 65504,
    };
}
