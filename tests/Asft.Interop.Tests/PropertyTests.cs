using Asft.Interop.Tests.DevicePath;
using Asft.Kernels;
using Asft.Kernels.Reference;
using CsCheck;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>Random calls of every kind, against torch's composed formula and against the reference implementation.</summary>
[TestFixtureSource(typeof(LossPath), nameof(LossPath.All))]
public class PropertyTests(string path) : TorchTest(path)
{
    private const int Samples = 250;

    private static readonly ScalarType[] s_dtypes = [ScalarType.Float32, ScalarType.Float64, ScalarType.BFloat16, ScalarType.Float16];

    private static readonly Gen<ScalarType> s_dtype = Gen.Int[0, 3].Select(i => s_dtypes[i]);

    private static readonly Gen<LossObjective> s_objective = Gen.Select(
        Gen.Enum<TokenWeighting>(),
        Gen.Double[0, 2],
        Gen.OneOf(Gen.Const(0.0), Gen.Double[0.01, 1]),
        Gen.Enum<KlDirection>(),
        Gen.OneOf(Gen.Const(0.0), Gen.Double[0.01, 0.5]),
        Gen.OneOf(Gen.Const(1.0), Gen.Double[0.3, 2]),
        Gen.OneOf(Gen.Const(0.0), Gen.Double[2, 20]),
        Gen.OneOf(Gen.Const(0.0), Gen.Double[0.001, 0.05]),
        (weighting, exponent, kl, direction, smoothing, scale, cap, z) => new LossObjective
        {
            Weighting = weighting,
            WeightExponent = exponent,
            WeightMax = 4,
            WeightMin = 0.125,
            KlWeight = kl,
            KlDirection = direction,
            LabelSmoothing = smoothing,
            LogitScale = scale,
            LogitSoftcap = cap,
            ZLossWeight = z,
        });

    private static readonly Gen<Call> s_call = Gen.Select(
        Gen.Long[0, 4].Array[0, 3],
        Gen.Long[1, 70],
        Gen.Select(s_dtype, s_dtype),
        s_objective,
        Gen.Select(Gen.Int[0, 5], Gen.Int[0, 5]),
        Gen.Select(Gen.Enum<Reduction>(), Gen.Bool, Gen.Bool, Gen.Bool),
        Gen.Double[-50, 100].Select(d => d < 1 ? (double?)null : d),
        Gen.Long[0, 1_000_000],
        (rows, vocabulary, types, objective, layouts, flags, tokenCount, seed) => new Call(
            rows,
            vocabulary,
            types.Item1,
            types.Item2,
            objective,
            layouts.Item1,
            layouts.Item2,
            flags.Item1,
            flags.Item2 && rows.Length > 0,
            flags.Item3,
            flags.Item4,
            tokenCount,
            seed));

    /// <summary>One call: everything about it follows from these.</summary>
    private sealed record Call(
        long[] Rows,
        long Vocabulary,
        ScalarType Type,
        ScalarType ReferenceType,
        LossObjective Objective,
        int Layout,
        int ReferenceLayout,
        Reduction Reduction,
        bool Shift,
        bool InPlace,
        bool GiveReference,
        double? TokenCount,
        long Seed);

    [Test]
    public void AgreesWithTheComposedFormula()
    {
        int gradients = 0;
        ForEach(s_call, call =>
        {
            (Tensor leaf, Tensor logits, Tensor? reference, Tensor labels, Tensor effective) = Materialize(call);
            Tensor exact = logits.detach().to(ScalarType.Float64).clone().requires_grad_();
            Tensor tokens = ComposedLoss.Tokens(exact, effective, reference?.to(ScalarType.Float64), call.Objective);
            Tensor expected = ComposedLoss.Reduce(tokens, effective, call.Objective, call.Reduction, call.TokenCount);
            Tensor upstream = randn(expected.shape, ScalarType.Float64).to(call.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32);
            expected.backward([upstream.to(ScalarType.Float64)]);

            Tensor actual = AsftFunctional.asft_loss(
                logits,
                labels,
                reference,
                call.Objective,
                call.Reduction,
                call.TokenCount is null ? null : tensor(call.TokenCount.Value),
                call.Shift,
                call.InPlace);
            actual.backward([upstream]);

            bool wide = call.Type == ScalarType.Float64;
            double summed = call.Reduction == Reduction.None ? 1 : Math.Max(1, effective.numel());
            AssertClose(actual, expected, (wide ? 1e-12 : 2e-6) * summed, wide ? 1e-11 : 2e-6, "loss");

            // Only the overwritten bfloat16 gradient meets its upstream gradient after it was rounded.
            int roundings = call is { InPlace: true, Type: ScalarType.BFloat16, Reduction: not Reduction.None } ? 2 : 1;
            double scale = Math.Max(1, Values(upstream).Select(Math.Abs).DefaultIfEmpty().Max() * call.Objective.LogitScale);
            Tensor gradient = ViewLike(call.Layout, call, Gradient(leaf));
            AssertGradient(gradient, Gradient(exact), call.Type, scale, "gradient", roundings);
            gradients += Values(gradient).Any(g => g != 0) ? 1 : 0;
        });
        Assert.That(gradients, Is.GreaterThan(Samples / 2), "the samples are not mostly trivial");
    }

    [Test]
    public void AgreesWithTheReferenceImplementation() => ForEach(s_call, call =>
    {
        (Tensor leaf, Tensor logits, Tensor? reference, Tensor labels, Tensor effective) = Materialize(call);
        double[][] rows = Rows(logits, call.Vocabulary);
        double[][]? referenceRows = reference is null ? null : Rows(reference, call.Vocabulary);
        long[] labelOfRow = [.. Values(effective).Select(value => (long)value)];
        ReferenceRow?[] results = [.. labelOfRow.Select((label, i) => label == call.Objective.IgnoreIndex
            ? (ReferenceRow?)null
            : ReferenceRow.Evaluate(call.Objective, rows[i], referenceRows?[i], label))];

        using AsftLossResult actual = AsftFunctional.asft_loss_with_metrics(
            logits, labels, reference, call.Objective, Reduction.Sum, shiftLabels: call.Shift, inPlace: call.InPlace);
        actual.Loss.backward();

        bool wide = call.Type == ScalarType.Float64;
        double tolerance = wide ? 1e-12 : 2e-6;
        Check(actual.TokenLoss, row => row.Loss, "token loss");
        Check(actual.TokenLogProbability, row => row.LogProbability, "log-probability");
        Check(actual.TokenWeight, row => row.Weight, "weight");
        Check(actual.TokenKl, row => row.Kl, "KL");
        Check(actual.TokenLogSumExp, row => row.LogSumExp, "lse");
        Assert.That(Values(actual.PredictedToken), Is.EqualTo(results.Select(row => (double)(row?.Predicted ?? -1))), "prediction");
        Assert.That(actual.TokenCount, Is.EqualTo(results.Count(row => row is not null)), "count");

        double[] gradient = [.. results.SelectMany(row => row?.Gradient ?? new double[call.Vocabulary])];
        AssertGradient(
            ViewLike(call.Layout, call, Gradient(leaf)),
            tensor(gradient).reshape([.. call.Rows, call.Vocabulary]),
            call.Type,
            Math.Max(1, call.Objective.LogitScale),
            "gradient");

        void Check(Tensor got, Func<ReferenceRow, double> expected, string what) =>
            AssertClose(Values(got), [.. results.Select(row => row is null ? 0 : expected(row.Value))], tolerance, 2 * tolerance, what);
    });

    private static void ForEach(Gen<Call> gen, Action<Call> check)
    {
        // The generator's own random numbers, from a fixed beginning: every run sees the same calls.
        var random = new PCG(1, 2_509_237_53);
        for (int i = 0; i < Samples; i++)
        {
            Call call = gen.Generate(random, null, out _);
            try
            {
                using var scope = NewDisposeScope();
                manual_seed(call.Seed);
                check(call);
            }
            catch (Exception error)
            {
                throw new AssertionException($"Sample {i}: rows [{string.Join(", ", call.Rows)}], {call}: {error.Message}", error);
            }
        }
    }

    private static (Tensor Leaf, Tensor Logits, Tensor? Reference, Tensor Labels, Tensor Effective) Materialize(Call call)
    {
        Tensor leaf = (randn(BaseShape(call.Layout, call), ScalarType.Float64) * 2).to(call.Type).clone().requires_grad_();
        Tensor? reference = null;
        if (call.GiveReference || call.Objective.NeedsReference)
        {
            // Half of what the policy says, half of its own, so that the divergence is neither nothing nor everything.
            Tensor own = (randn(BaseShape(call.ReferenceLayout, call), ScalarType.Float64) * 2).to(call.ReferenceType).clone();
            reference = ViewLike(call.ReferenceLayout, call, own);
            reference.mul_(0.5).add_(ViewLike(call.Layout, call, leaf).detach().to(call.ReferenceType) * 0.5);
        }

        Tensor labels = randint(0, call.Vocabulary, call.Rows, ScalarType.Int64);
        Tensor ignored = rand(call.Rows).lt(0.3);
        labels = labels.masked_fill(ignored, call.Objective.IgnoreIndex);
        Tensor effective = call.Shift ? ComposedLoss.Shift(labels, call.Objective.IgnoreIndex) : labels;
        Tensor logits = ViewLike(call.Layout, call, leaf * 1.0);
        return (leaf, logits, reference, labels, effective);
    }

    /// <summary>Shape of the tensor that a layout is a view of.</summary>
    private static long[] BaseShape(int layout, Call call) => layout switch
    {
        1 => [.. call.Rows, call.Vocabulary + 3],
        2 when call.Rows.Length > 1 => [call.Rows[1], call.Rows[0], .. call.Rows[2..], call.Vocabulary],
        3 when call.Rows.Length > 0 => [.. call.Rows[..^1], call.Rows[^1] + 1, call.Vocabulary],
        4 => [call.Vocabulary, .. call.Rows],
        5 => [.. call.Rows, 2 * call.Vocabulary],
        _ => [.. call.Rows, call.Vocabulary],
    };

    /// <summary>A view of the shape of the call's logits: padded, transposed, shortened, with scattered rows, or just itself.</summary>
    private static Tensor ViewLike(int layout, Call call, Tensor from) => layout switch
    {
        1 => from.narrow(-1, 2, call.Vocabulary),
        2 when call.Rows.Length > 1 => from.transpose(0, 1),
        3 when call.Rows.Length > 0 => from.narrow(-2, 0, call.Rows[^1]),
        4 => from.movedim([0L], [-1L]),
        5 => from.slice(-1, 0, 2 * call.Vocabulary, 2),
        _ => from.alias(),
    };

    private static double[][] Rows(Tensor tensor, long vocabulary) => [.. Values(tensor).Chunk((int)vocabulary)];
}
