using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests;

/// <summary>
/// The objective put together from torch's own cross_entropy, kl_div and logsumexp, in float64, with torch's own autograd:
/// what a user would have to write without Asft.
/// </summary>
internal static class ComposedLoss
{
    /// <summary>The token losses, shaped like the labels.</summary>
    /// <param name="logits">Policy logits in float64.</param>
    /// <param name="labels">int64 labels, as they are (shifted already).</param>
    /// <param name="reference">Reference logits in float64, or null.</param>
    /// <param name="objective">The objective.</param>
    /// <param name="known">What else may be known: kept of a reference, and given by a caller; shifted already.</param>
    public static Tensor Tokens(Tensor logits, Tensor labels, Tensor? reference, LossObjective objective, Known? known = null)
    {
        long vocabulary = logits.size(-1);
        Tensor y = labels.reshape(-1);
        Tensor counts = y.ne(objective.IgnoreIndex);
        Tensor safe = y.where(counts, 0L);
        Tensor z = Transform(logits.reshape(-1, vocabulary), objective);
        Tensor nll = functional.cross_entropy(z, safe, reduction: Reduction.None, label_smoothing: objective.LabelSmoothing);
        Tensor lp = functional.log_softmax(z, -1);
        Tensor label = lp.gather(-1, safe.unsqueeze(-1)).squeeze(-1);
        Tensor? lq = reference is null ? null : functional.log_softmax(Transform(reference.reshape(-1, vocabulary), objective), -1);
        Tensor? lqy = known?.LabelLogProbabilities?.reshape(-1) ?? lq?.gather(-1, safe.unsqueeze(-1)).squeeze(-1);
        Tensor weight = known?.Weights?.reshape(-1) ?? Weight(objective, lp, label.detach(), lqy);
        weight = objective.WeightBound == WeightBound.Clamp
            ? weight.clamp(objective.WeightMin, objective.WeightMax)
            : weight.masked_fill(weight.lt(objective.WeightMin).logical_or(weight.gt(objective.WeightMax)), 0);
        Tensor loss = nll * weight * objective.NllWeight;
        if (objective.KlWeight > 0)
        {
            Tensor kl = known?.Indices is { } indices
                ? TopKKl(lp, indices.reshape(-1, indices.size(-1)), known.LogProbabilities!.reshape(-1, indices.size(-1)), objective.KlDirection)
                : objective.KlEstimator == KlEstimator.Exact ? Kl(lp, lq!, objective.KlDirection) : Estimate(objective.KlEstimator, lqy! - label);
            loss += objective.KlWeight * kl;
        }

        if (objective.ZLossWeight > 0)
        {
            loss += objective.ZLossWeight * z.logsumexp(-1).square();
        }

        loss = known?.TokenWeights is { } factor ? loss * factor.reshape(-1) : loss;
        return loss.where(counts, 0.0).reshape(labels.shape);
    }

    /// <summary>What a loss may be given beside logits, labels and reference logits, in float64.</summary>
    public sealed record Known
    {
        public Tensor? LabelLogProbabilities { get; init; }

        public Tensor? Indices { get; init; }

        public Tensor? LogProbabilities { get; init; }

        public Tensor? TokenWeights { get; init; }

        /// <summary>Weights in place of the objective's.</summary>
        public Tensor? Weights { get; init; }
    }

    private static Tensor Weight(LossObjective objective, Tensor lp, Tensor label, Tensor? referenceLabel) => objective.Weighting switch
    {
        TokenWeighting.Probability =>
            (label * objective.WeightExponent).exp() * (1 - label.exp()).clamp(min: 0).pow(objective.WeightComplementExponent),
        TokenWeighting.ImportanceRatio => (label - referenceLabel!).exp(),
        TokenWeighting.Entropy => (-(lp.exp() * lp).nan_to_num(0).sum(-1) / objective.EntropyScale).detach().pow(objective.WeightExponent),
        _ => ones_like(label),
    };

    /// <summary>Over the entries, and over everything else as one.</summary>
    private static Tensor TopKKl(Tensor lp, Tensor indices, Tensor lq, KlDirection direction)
    {
        Tensor entries = lp.gather(-1, indices);
        Tensor isEntry = zeros_like(lp.detach()).scatter(-1, indices, ones_like(lq)).to_type(ScalarType.Bool);
        Tensor rest = lp.exp().masked_fill(isEntry, 0).sum(-1);
        Tensor referenceRest = (1 - lq.exp().sum(-1)).clamp(min: 0);
        return direction == KlDirection.Forward
            ? (lq.exp() * (lq - entries)).sum(-1) + (referenceRest * (referenceRest.log() - rest.log()))
            : (entries.exp() * (entries - lq)).sum(-1) + (rest * (rest.log() - referenceRest.log()));
    }

    /// <summary>What is estimated of it from d = lq[y] - lp[y].</summary>
    private static Tensor Estimate(KlEstimator estimator, Tensor d) => estimator switch
    {
        KlEstimator.K1 => -d,
        KlEstimator.K2 => d.square() / 2,
        _ => d.exp() - 1 - d,
    };

    /// <summary>KL divergence of each row.</summary>
    public static Tensor Kl(Tensor lp, Tensor lq, KlDirection direction) => direction == KlDirection.Forward
        ? functional.kl_div(lp, lq, log_target: true, Reduction.None).sum(-1)
        : functional.kl_div(lq, lp, log_target: true, Reduction.None).sum(-1);

    /// <summary>The reduced loss.</summary>
    public static Tensor Reduce(Tensor tokens, Tensor labels, LossObjective objective, Reduction reduction, double? tokenCount = null)
    {
        double counted = labels.ne(objective.IgnoreIndex).sum().item<long>();
        return reduction switch
        {
            Reduction.None => tokens,
            Reduction.Sum => tokens.sum(),
            _ => tokens.sum() / (counted == 0 ? 1 : tokenCount ?? counted),
        };
    }

    /// <summary>Labels that position t is scored against with shiftLabels.</summary>
    public static Tensor Shift(Tensor labels, long ignoreIndex)
    {
        Tensor shifted = full_like(labels, ignoreIndex);
        long length = labels.size(-1);
        if (labels.numel() > 0 && length > 1)
        {
            shifted.narrow(-1, 0, length - 1).copy_(labels.narrow(-1, 1, length - 1));
        }

        return shifted;
    }

    private static Tensor Transform(Tensor logits, LossObjective objective) => objective.LogitSoftcap > 0
        ? (logits * objective.LogitScale / objective.LogitSoftcap).tanh() * objective.LogitSoftcap
        : logits * objective.LogitScale;
}
