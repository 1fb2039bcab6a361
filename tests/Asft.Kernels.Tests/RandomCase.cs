using System.Globalization;
using CsCheck;

namespace Asft.Kernels.Tests;

/// <summary>
/// A random problem whose values survive in every storage type, so that all of them have the same exact results.
/// </summary>
internal sealed record RandomCase(
    LossObjective Objective, int Rows, int Vocabulary, ElementType Type, ElementType ReferenceType, int Padding, bool InPlace, int Seed,
    int Spread = 1, ReferenceKind Kind = ReferenceKind.Logits, bool Weighted = false, bool HasReference = true, bool HasEntropy = true,
    bool HasGivenWeights = false)
{
    private static readonly Gen<LossObjective> s_objective = Gen.Select(
        OneOf(TokenWeighting.None, TokenWeighting.Probability, TokenWeighting.ImportanceRatio), OneOf(0.0, 0.05, 1.0), Gen.Enum<KlDirection>(), OneOf(0.0, 0.1, 1.0),
        OneOf(1.0, 0.7), OneOf(0.0, 0.0, 5.0), OneOf(0.0, 0.01), OneOf(1.0, 0.0, 0.5, 2.0))
        .Select((weighting, kl, direction, smoothing, scale, cap, z, gamma) => new LossObjective
        {
            Weighting = weighting,
            KlWeight = kl,
            KlDirection = direction,
            LabelSmoothing = smoothing,
            LogitScale = scale,
            LogitSoftcap = cap,
            ZLossWeight = z,
            WeightExponent = gamma,
            WeightMax = 3,
        });

    /// <summary>
    /// Cases from one logit to several blocks of the CPU kernel and several tiles of a device's largest group, and on both sides of the
    /// boundaries of each.
    /// </summary>
    public static readonly Gen<RandomCase> Any = Gen.Select(
        s_objective, Gen.Int[1, 5],
        Gen.OneOf(Gen.Int[1, 70], OneOf(127, 128, 129, 255, 256, 1023, 1024, 1025, 2047, 2048, 2049, 4097, 4500)),
        Gen.Enum<ElementType>(), Gen.Enum<ElementType>(), OneOf(0, 1, 16), Gen.Bool, Gen.Int[0, 1_000_000])
        .Select((objective, rows, vocabulary, type, referenceType, padding, inPlace, seed) =>
            new RandomCase(objective, rows, vocabulary, type, referenceType, padding, inPlace, seed));

    /// <summary>
    /// The same with models that may disagree by up to 240 nats, and weights that may be large: where float32 cancels. Label smoothing is
    /// for weights of ordinary size, as the difference of a probability and its target has no more digits than float32 gives it.
    /// </summary>
    public static readonly Gen<RandomCase> Wide = Gen.Select(
        s_objective, OneOf(3.0, 1e4, 1e30), Gen.Int[1, 4], Gen.Frequency((8, Gen.Int[1, 300]), (1, OneOf(1025, 2048, 4097))),
        Gen.Enum<ElementType>(), Gen.Enum<ElementType>(), Gen.Bool, OneOf(1, 2, 4, 8, 16))
        .SelectMany(choice => Gen.Int[0, 1_000_000].Select(seed => new RandomCase(
            choice.Item1 with { WeightMax = choice.Item2, LabelSmoothing = choice.Item2 > 3 ? 0 : choice.Item1.LabelSmoothing }, choice.Item3, choice.Item4, choice.Item5, choice.Item6, 1, choice.Item7, seed,
            choice.Item8)));

    /// <summary>
    /// The same over everything that an objective can say, with the caller's weights of both kinds and each kind of reference; in one half without
    /// an entropy among the outputs, as backends have shorter ways then. Exponents of an entropy are at least 1: a root of one that is nearly 0 shows digits that float32 does not have.
    /// </summary>
    public static readonly Gen<RandomCase> General = Gen.Select(
        Any, Gen.Enum<TokenWeighting>(), Gen.Enum<KlEstimator>(), Gen.Enum<WeightBound>(), Gen.Enum<ReferenceKind>(), OneOf(0.0, 1.0, 2.0),
        OneOf(0.0, 0.5, 1.0), Gen.Bool)
        .Select((test, weighting, estimator, bound, kind, complement, nll, weighted) => test with
        {
            Kind = kind,
            Weighted = weighted,
            HasEntropy = test.Seed % 2 == 0,
            HasGivenWeights = test.Seed % 5 == 0,
            Objective = test.Objective with
            {
                Weighting = kind == ReferenceKind.TopK && weighting == TokenWeighting.ImportanceRatio ? TokenWeighting.Probability : weighting,
                WeightExponent = weighting == TokenWeighting.Entropy ? Math.Max(1, test.Objective.WeightExponent) : test.Objective.WeightExponent,
                WeightComplementExponent = complement,
                WeightBound = bound,
                WeightMin = bound == WeightBound.Clamp ? 0.05 : 0,
                NllWeight = nll,
                KlEstimator = kind switch
                {
                    ReferenceKind.TopK => KlEstimator.Exact,
                    ReferenceKind.Label when estimator == KlEstimator.Exact => KlEstimator.K3,
                    _ => estimator,
                },
            },
        });

    /// <summary>Cases without a reference, smoothing and softcap, most of them with rows of a single block: what the CPU kernel has a pass of its own for.</summary>
    public static readonly Gen<RandomCase> Short = Any.Select(test => test with
    {
        HasReference = false,
        HasEntropy = test.Seed % 3 == 0,
        Objective = new LossObjective
        {
            Weighting = test.Objective.Weighting == TokenWeighting.Probability ? TokenWeighting.Probability : TokenWeighting.None,
            WeightExponent = test.Objective.WeightExponent,
            WeightComplementExponent = test.Seed % 3,
            WeightMax = test.Seed % 2 == 0 ? double.PositiveInfinity : 0.4,
            WeightBound = test.Seed % 5 == 0 ? WeightBound.Drop : WeightBound.Clamp,
            NllWeight = test.Seed % 7 == 0 ? 0.5 : 1,
            LogitScale = test.Objective.LogitScale,
            ZLossWeight = test.Objective.ZLossWeight,
        },
        Weighted = test.Seed % 4 == 0,
    });

    /// <summary>How many cases to try: what ASFT_RANDOM_CASES says, or else <paramref name="otherwise"/>.</summary>
    public static long Cases(long otherwise) =>
        Environment.GetEnvironmentVariable("ASFT_RANDOM_CASES") is { } cases ? long.Parse(cases, CultureInfo.InvariantCulture) : otherwise;

    /// <summary>The problem in its storage types or, for exact results of the same values, in float64.</summary>
    public KernelRun Run(bool exact = false)
    {
        var random = new Random(Seed);
        var logits = new double[Rows * Vocabulary];
        var reference = new double[logits.Length];
        for (int i = 0; i < logits.Length; i++)
        {
            // Small multiples of a power of two survive in every storage type.
            logits[i] = random.Next(-120, 121) * Spread / 16.0;
            reference[i] = Spread == 1 ? logits[i] + (random.Next(-16, 17) / 16.0) : random.Next(-120, 121) * Spread / 16.0;
            if (random.Next(50) == 0)
            {
                logits[i] = reference[i] = double.NegativeInfinity;
            }
        }

        long[] labels = [.. Enumerable.Range(0, Rows).Select(row => random.Next(4) == 0 ? -100L : random.Next(Vocabulary))];
        for (int row = 0; row < Rows; row++)
        {
            // The label's own logit is not masked: 0/0 has no exact value to compare with.
            int i = (row * Vocabulary) + (int)Math.Max(0, labels[row]);
            logits[i] = double.IsInfinity(logits[i]) ? 1 : logits[i];
            reference[i] = double.IsInfinity(reference[i]) ? 0.5 : reference[i];
        }

        double[]? given = HasGivenWeights ? [.. labels.Select((_, row) => ((Seed + (7 * row)) % 17) / 4.0)] : null;
        double[]? weights = Weighted ? [.. labels.Select(_ => random.Next(-2, 3) / 2.0)] : null;
        double[]? labelLogs = null;
        long[]? indices = null;
        double[]? topKLogs = null;
        if (Kind != ReferenceKind.Logits)
        {
            double[][] logs = [.. Enumerable.Range(0, Rows).Select(row => LogSoftmax(reference.AsSpan(row * Vocabulary, Vocabulary)))];
            labelLogs = Kind == ReferenceKind.Label ? [.. logs.Select((log, row) => (double)(float)log[Math.Max(0, labels[row])])] : null;
            if (Kind == ReferenceKind.TopK)
            {
                int count = Math.Min(Vocabulary, 1 + (Seed % 7));
                long[][] top = [.. logs.Select(log => Enumerable.Range(0, Vocabulary).OrderByDescending(i => log[i]).Take(count).Select(i => (long)i).ToArray())];
                indices = [.. top.SelectMany(row => row)];
                topKLogs = [.. top.SelectMany((row, i) => row.Select(index => (double)(float)(logs[i][index] - 1e-6)))];
            }
        }

        double[]? whole = Kind == ReferenceKind.Logits && HasReference ? reference : null;
        return exact
            ? new KernelRun(Objective, logits, whole, labels, ElementType.Float64, null, 0, weights, labelLogs, indices, topKLogs, HasEntropy, given)
            : new KernelRun(Objective, logits, whole, labels, Type, ReferenceType, Padding, weights, labelLogs, indices, topKLogs, HasEntropy, given);
    }

    private double[] LogSoftmax(ReadOnlySpan<double> logits)
    {
        double[] z = Array.ConvertAll(logits.ToArray(), x => Objective.LogitSoftcap > 0
            ? Objective.LogitSoftcap * Math.Tanh(Objective.LogitScale * x / Objective.LogitSoftcap) : Objective.LogitScale * x);
        double max = z.Max();
        double lse = max + Math.Log(z.Sum(value => Math.Exp(value - max)));
        return Array.ConvertAll(z, value => value - lse);
    }

    /// <summary>Fails unless the results agree within the promises of docs/design.md.</summary>
    public unsafe void AssertAgree(KernelRun actual, KernelRun exact, double scale)
    {
        Tolerance.AssertOutputs(actual.Read(actual.Outputs.Loss), exact.Read(exact.Outputs.Loss), Type, "loss");
        Tolerance.AssertOutputs(
            actual.Read(actual.Outputs.LogProbability), exact.Read(exact.Outputs.LogProbability), Type, "log-probability");
        Tolerance.AssertOutputs(actual.Read(actual.Outputs.LogSumExp), exact.Read(exact.Outputs.LogSumExp), Type, "lse");
        double unit = Type == ElementType.Float64 ? 2e-12 : 4e-6; // no promise is made for a divergence as such
        Tolerance.AssertClose(actual.Read(actual.Outputs.Kl), exact.Read(exact.Outputs.Kl), unit, unit, "KL");
        Tolerance.AssertOutputs(actual.Read(actual.Outputs.Weight), exact.Read(exact.Outputs.Weight), Type, "weight");
        Tolerance.AssertOutputs(
            actual.Read(actual.Outputs.ReferenceLogProbability), exact.Read(exact.Outputs.ReferenceLogProbability), Type, "reference log-probability");
        Assert.That(actual.Predicted, Is.EqualTo(exact.Predicted), "predicted token");
        Tolerance.AssertGradient(
            actual.ReadMatrix(InPlace ? actual.Logits : actual.Gradient), exact.ReadMatrix(exact.Gradient), Type, "gradient", Math.Max(1, scale));
        if (actual.Outputs.Entropy == null)
        {
            return;
        }

        Tolerance.AssertOutputs(actual.Read(actual.Outputs.Entropy), exact.Read(exact.Outputs.Entropy), Type, "entropy");
        Tolerance.AssertOutputs(
            actual.Read(actual.Outputs.SquaredProbabilitySum), exact.Read(exact.Outputs.SquaredProbabilitySum), Type, "sum of squares");
    }

    private static Gen<T> OneOf<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);
}

/// <summary>What is known of the reference.</summary>
internal enum ReferenceKind
{
    /// <summary>Its logits.</summary>
    Logits,

    /// <summary>Its log-probability of each label.</summary>
    Label,

    /// <summary>Its most likely entries.</summary>
    TopK,
}
