namespace Asft.Kernels.Tests;

/// <summary>What surrounds the loss in host memory: counts, totals, and gradients that are multiplied afterwards.</summary>
public unsafe class HostReductionTests
{
    /// <summary>More than one block of the conversion of bfloat16, and more than one register beyond it.</summary>
    private const int Vocabulary = 1100;

    private readonly ITokenLossKernel _kernel = AllKernels.Named("cpu256");

    [TestCase(null, 1.0 / 49)]
    [TestCase(7.0, 1.0 / 7)]
    [TestCase(0.0, double.NaN)]
    [TestCase(-3.0, double.NaN)]
    [TestCase(double.PositiveInfinity, double.NaN)]
    public void CountsTokens(double? denominator, double factor)
    {
        long[] labels = [.. Enumerable.Repeat(-7L, 4), .. Enumerable.Range(0, 49)];
        Assert.That(Count(labels, isMean: true, denominator), Is.EqualTo((49L, factor)));
        Assert.That(Count(labels, isMean: false, denominator), Is.EqualTo((49L, 1.0)));
        Assert.That(Count([-7, -7], isMean: true, denominator), Is.EqualTo((0L, 1.0)));
        Assert.That(Count([], isMean: true, denominator), Is.EqualTo((0L, 1.0)));
    }

    /// <summary>In float32 neither the total nor what is left after the large losses would be there.</summary>
    [Test]
    public void AddsUpInFloat64([Values(ElementType.Float32, ElementType.Float64)] ElementType type)
    {
        double[] losses = [3e38, 3e38, -3e38, -3e38, 1e8, 0.125];
        double* cells = stackalloc double[losses.Length + 1];
        for (int i = 0; i < losses.Length; i++)
        {
            ScalarElement.Write(cells, type, i, losses[i]);
        }

        double factor = 0.5;
        double* total = cells + losses.Length;
        _kernel.Total(cells, losses.Length, type, null, total);
        Assert.That(*total, Is.EqualTo(100_000_000.125));
        _kernel.Total(cells, losses.Length, type, &factor, total);
        Assert.That(*total, Is.EqualTo(50_000_000.0625));
        _kernel.Total(cells, 0, type, null, total);
        Assert.That(*total, Is.Zero);
    }

    [Test]
    public void WrongArgumentsAreRefused()
    {
        Assert.That(() => _kernel.Rescale(default, default), Throws.ArgumentException.With.Message.Contains("gradient"));
        long* cell = stackalloc long[1];
        Assert.That(
            () => _kernel.Count(new TokenCounting { Labels = null, Rows = -1, IgnoreIndex = 0, Counted = cell }),
            Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => _kernel.Total(null, -1, ElementType.Float32, null, cell), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    /// <summary>Every product is rounded once, or twice in bfloat16, which is multiplied in float32.</summary>
    [Test]
    public void RescaleMultiplies([Values] ElementType type, [Values(0.5, -3.0, 0.3, 0.0, double.PositiveInfinity, double.NaN)] double factor)
    {
        using KernelRun run = Run(type, 40);
        run.Forward(_kernel);
        double[] before = run.ReadMatrix(run.Gradient);
        double cell;
        ScalarElement.Write(&cell, run.Accumulator, 0, factor);
        double* upstream = &cell;
        _kernel.Rescale(run.Problem, new TokenGradient { Logits = run.Gradient, Upstream = upstream });

        double[] after = run.ReadMatrix(run.Gradient);
        double rounded = ScalarElement.Read(&cell, run.Accumulator, 0);
        double relative = type switch { ElementType.Float64 => 0, ElementType.Float32 => 0, ElementType.BFloat16 => 0.00391, _ => 0.000489 };
        for (int i = 0; i < after.Length; i++)
        {
            bool ignored = run.Problem.Labels[i / Vocabulary] == run.Problem.Objective.IgnoreIndex;
            double exact = ignored ? 0 : before[i] * rounded;
            double wanted = type == ElementType.Float32 ? (float)exact : exact;
            double tolerance = (relative * Math.Abs(wanted)) + (type == ElementType.Float16 ? 3e-8 : 0);
            Assert.That(after[i], double.IsFinite(wanted) ? Is.EqualTo(wanted).Within(tolerance) : Is.EqualTo(wanted), $"element {i}");
        }
    }

    [Test]
    public void AtOneThereIsNothingToDo([Values] ElementType type)
    {
        using KernelRun run = Run(type, 3);
        double one;
        double two;
        ScalarElement.Write(&one, run.Accumulator, 0, 1);
        ScalarElement.Write(&two, run.Accumulator, 0, 2);
        var gradient = new TokenGradient { Logits = run.Gradient, Scale = 1, Upstream = &one };
        run.Forward(_kernel);
        byte[] before = run.Bits();
        _kernel.Rescale(default, gradient);
        _kernel.BackwardUnlessOne(run.Problem, default, gradient, &one);
        Assert.That(run.Bits(), Is.EqualTo(before));

        double[] doubled = [.. run.ReadMatrix(run.Gradient).Select(value => 2 * value)];
        var again = new TokenGradient { Logits = run.Gradient, Scale = 1, Upstream = &two };
        _kernel.BackwardUnlessOne(run.Problem, run.Outputs, again, &two);
        Tolerance.AssertGradient(run.ReadMatrix(run.Gradient), doubled, type, "gradient", 2);
    }

    private (long Counted, double Factor) Count(long[] labels, bool isMean, double? denominator)
    {
        double given = denominator ?? 0;
        long counted;
        double factor;
        fixed (long* pinned = labels)
        {
            _kernel.Count(new TokenCounting
            {
                Labels = pinned,
                Rows = labels.Length,
                IgnoreIndex = -7,
                IsMean = isMean,
                Denominator = denominator is null ? null : &given,
                Type = ElementType.Float64,
                Counted = &counted,
                Factor = &factor,
            });
        }

        return (counted, factor);
    }

    private static KernelRun Run(ElementType type, int rows)
    {
        var random = new Random(rows);
        double[] logits = [.. Enumerable.Range(0, rows * Vocabulary).Select(_ => (random.NextDouble() * 8) - 4)];
        long[] labels = [.. Enumerable.Range(0, rows).Select(row => row % 3 == 1 ? -100L : random.Next(Vocabulary))];
        return new KernelRun(LossObjective.Sft, logits, null, labels, type);
    }
}
