using Asft.Interop;
using Asft.Interop.Tests;
using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Distributed.Ranks;

/// <summary>The loss on a shard of the logits against the loss on all of them, in float64 on one rank, and the same bits on each.</summary>
internal static class LogitLosses
{
    private static readonly ScalarType[] s_types = [ScalarType.Float64, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16];

    public static void Run(IProcessGroup group)
    {
        int number = 0;
        foreach ((string name, LossObjective objective) in Objectives.All)
        {
            foreach (ScalarType type in s_types)
            {
                number++;
                var test = new TokenCase(group, objective, rows: 14, vocabulary: 53, seed: number);
                Check(group, test, objective, type, (Reduction)(number % 3), Kind.Logits, number, $"{name} {type}");
            }
        }

        LossObjective k3 = LossObjective.Asft(0.3) with { KlEstimator = KlEstimator.K3 };
        LossObjective reverse = LossObjective.SftKl(0.4) with { KlDirection = KlDirection.Reverse };
        LossObjective entropy = new() { Weighting = TokenWeighting.Entropy, WeightExponent = 1, LabelSmoothing = 0.1 };
        foreach (ScalarType type in s_types)
        {
            foreach ((Kind kind, LossObjective objective) in ((Kind, LossObjective)[])
                [(Kind.Label, k3), (Kind.TopK, LossObjective.Asft(0.3)), (Kind.TopK, reverse), (Kind.Logits, entropy)])
            {
                number++;
                var test = new TokenCase(group, objective, rows: 14, vocabulary: 53, seed: number);
                Check(group, test, objective, type, (Reduction)(number % 3), kind, number, $"{kind} {type} {objective.KlDirection}");
            }
        }

        // Rows in several chunks.
        var large = new TokenCase(group, LossObjective.Asft(), rows: 40, vocabulary: 12_000, seed: 3);
        Check(group, large, LossObjective.Asft(), ScalarType.Float64, Reduction.Mean, Kind.Logits, 1, "several chunks");
        Check(group, large, LossObjective.Asft(), ScalarType.Float32, Reduction.None, Kind.Logits, 4, "several chunks");
    }

    /// <summary>What is known of the reference.</summary>
    private enum Kind
    {
        Logits,
        Label,
        TopK,
    }

    private static void Check(
        IProcessGroup group, TokenCase test, LossObjective objective, ScalarType type, Reduction reduction, Kind kind, int number, string name)
    {
        using DisposeScope scope = NewDisposeScope();
        name = FormattableString.Invariant($"{name} {reduction} ({number})");
        bool inPlace = number % 2 == 0;
        Func<TokenStatistics, Tensor>? weighting = number % 7 == 0 ? static s => (s.LogProbability * s.SquaredProbabilitySum).exp() + s.Entropy : null;
        Tensor? weights = number % 3 == 0 ? test.Weights : null;
        Tensor? count = number % 5 == 0 ? tensor(9.5) : null;
        bool shift = number % 4 == 0;

        // Logits that every storage type holds exactly, so the exact loss of each is that of float64.
        Tensor whole = test.Logits.clone().requires_grad_();
        (TokenReference wholeReference, TokenReference ownReference) = References(test, kind, type);
        using AsftLossResult exact = AsftFunctional.asft_loss_with_metrics(
            whole, test.Labels, wholeReference, objective, reduction, count, shift, tokenWeights: weights, weighting: weighting);
        Tensor upstream = reduction == Reduction.None ? linspace(-1, 2, test.Labels.numel(), ScalarType.Float64).reshape(test.Labels.shape) : tensor(1.5);
        exact.Loss.backward([upstream]);

        Tensor leaf = test.Own(test.Logits).to(type).contiguous().requires_grad_();
        Tensor logits = inPlace ? leaf.clone() : leaf;
        using AsftLossResult result = AsftFunctional.asft_loss_with_metrics(
            logits, test.Labels, ownReference, objective, reduction, count, shift, inPlace, weights, weighting, test.Shard);
        ScalarType accumulator = type == ScalarType.Float64 ? type : ScalarType.Float32;
        bool again = !inPlace && number % 3 == 1;
        result.Loss.backward([upstream.to(accumulator)], retain_graph: again);
        Tensor gradient = leaf.grad!.clone();
        if (again)
        {
            leaf.grad!.zero_();
            result.Loss.backward([upstream.to(accumulator)]);
            Expect.Close(leaf.grad!, gradient, 1e-6, 1e-6, $"{name}: second gradient");
        }

        double unit = type == ScalarType.Float64 ? 1e-12 : 4e-6;
        double size = reduction == Reduction.Sum ? 14 : 1; // of what the units are of: token losses
        Expect.Close(result.Loss, exact.Loss, unit * size, unit, $"{name}: loss");
        Expect.Close(result.TokenLoss, exact.TokenLoss, unit, unit, $"{name}: token losses");
        Expect.Close(result.TokenLogProbability, exact.TokenLogProbability, unit, unit, $"{name}: log-probabilities");
        Expect.Close(result.TokenWeight, exact.TokenWeight, unit, unit, $"{name}: weights");
        Expect.Close(result.TokenKl, exact.TokenKl, unit, unit, $"{name}: KL");
        Expect.Close(result.TokenLogSumExp, exact.TokenLogSumExp, unit, unit, $"{name}: log-sum-exps");
        Expect.Close(result.TokenEntropy, exact.TokenEntropy, unit, unit, $"{name}: entropies");
        Expect.Close(result.PredictedToken, exact.PredictedToken, 0, 0, $"{name}: predicted tokens");
        Expect.That(result.TokenCount == exact.TokenCount, $"{name}: {result.TokenCount} tokens, not {exact.TokenCount}");
        double rounding = type switch
        {
            ScalarType.Float64 => 1e-12,
            ScalarType.Float32 => 1e-5,
            ScalarType.Float16 => 1e-5 + Math.ScaleB(1, -11),
            _ => 1e-5 + (2 * Math.ScaleB(1, -8)), // in place, it is rounded twice
        };
        double absolute = type == ScalarType.Float64 ? 1e-12 : 2e-6 * 6;
        Expect.Close(gradient, test.Own(whole.grad!), absolute, rounding, $"{name}: gradient");
        Expect.SameBits(group, result.Loss, $"{name}: loss");
        Expect.SameBits(group, result.TokenLoss, $"{name}: token losses");
        Expect.SameBits(group, result.TokenKl, $"{name}: KL");

        // Without metrics, less is exchanged; the results are the same.
        Tensor plain = AsftFunctional.asft_loss(
            test.Own(test.Logits).to(type), test.Labels, ownReference, objective, reduction, count, shift, tokenWeights: weights,
            weighting: weighting, shard: test.Shard);
        Expect.Close(plain, result.Loss, 0, 0, $"{name}: loss without metrics");
    }

    private static (TokenReference Whole, TokenReference Own) References(TokenCase test, Kind kind, ScalarType type)
    {
        if (kind == Kind.Logits)
        {
            return (test.Reference, test.Own(test.Reference).to(type));
        }

        Tensor lq = test.Reference.log_softmax(-1);
        Tensor logs = lq.gather(-1, test.Labels.clamp(min: 0).unsqueeze(-1)).squeeze(-1).to(ScalarType.Float32);
        (Tensor top, Tensor indices) = lq.topk(5);
        TokenReference kept = kind == Kind.Label
            ? TokenReference.LabelLogProbabilities(logs)
            : TokenReference.TopK(indices, (top - 1e-3).to(ScalarType.Float32));
        return (kept, kept);
    }
}
