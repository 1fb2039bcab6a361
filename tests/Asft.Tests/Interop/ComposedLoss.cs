using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Tests.Interop;

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
    public static Tensor Tokens(Tensor logits, Tensor labels, Tensor? reference, LossObjective objective)
    {
        long vocabulary = logits.size(-1);
        Tensor y = labels.reshape(-1);
        Tensor counts = y.ne(objective.IgnoreIndex);
        Tensor safe = y.where(counts, 0L);
        Tensor z = Transform(logits.reshape(-1, vocabulary), objective);
        Tensor nll = functional.cross_entropy(z, safe, reduction: Reduction.None, label_smoothing: objective.LabelSmoothing);
        Tensor lp = functional.log_softmax(z, -1);
        Tensor lpy = lp.gather(-1, safe.unsqueeze(-1)).squeeze(-1).detach();
        Tensor loss = nll;
        Tensor? lq = null;
        if (reference is not null)
        {
            lq = functional.log_softmax(Transform(reference.reshape(-1, vocabulary), objective), -1);
        }

        Tensor? lqy = lq?.gather(-1, safe.unsqueeze(-1)).squeeze(-1);
        Tensor weight = objective.Weighting switch
        {
            TokenWeighting.Probability =>
                (lpy * objective.WeightExponent).exp() * (1 - lpy.exp()).clamp(min: 0).pow(objective.WeightComplementExponent),
            TokenWeighting.ImportanceRatio => (lpy - lqy!).exp(),
            TokenWeighting.Entropy => (-(lp.exp() * lp).nan_to_num(0).sum(-1) / objective.EntropyScale).detach().pow(objective.WeightExponent),
            _ => ones_like(lpy),
        };
        weight = objective.WeightBound == WeightBound.Clamp
            ? weight.clamp(objective.WeightMin, objective.WeightMax)
            : weight.masked_fill(weight.lt(objective.WeightMin).logical_or(weight.gt(objective.WeightMax)), 0);
        loss = loss * weight * objective.NllWeight;
        if (objective.KlWeight > 0)
        {
            Tensor kl = objective.KlEstimator == KlEstimator.Exact
                ? Kl(lp, lq!, objective.KlDirection)
                : Estimate(objective.KlEstimator, lqy! - lp.gather(-1, safe.unsqueeze(-1)).squeeze(-1));
            loss = loss + (objective.KlWeight * kl);
        }

        if (objective.ZLossWeight > 0)
        {
            loss = loss + (objective.ZLossWeight * z.logsumexp(-1).square());
        }

        return loss.where(counts, 0.0).reshape(labels.shape);
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
