using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// The gradient written out in torch operations, so that it can be differentiated in turn. Slow, and it makes many tensors of the
/// logits' size: it serves <c>create_graph: true</c> alone. The weight w is a constant in it, as it is in the objective.
/// </summary>
internal static class ComposedGradient
{
    /// <summary>The gradient, with its graph to the logits and the upstream gradient.</summary>
    public static Tensor Of(LossGraph graph, SavedTensors saved, Tensor upstream)
    {
        LossObjective objective = graph.Objective;
        ScalarType type = TensorMemory.Accumulator(saved.Logits);
        long vocabulary = saved.Logits.size(-1);
        Tensor labels = graph.Inputs.Labels.ToTensor();
        Tensor? weights = graph.Inputs.Weights;
        Tensor ignored = labels.eq(objective.IgnoreIndex).unsqueeze(-1);
        ignored = weights is null ? ignored : ignored.logical_or(weights.eq(0).unsqueeze(-1));
        Tensor label = labels.unsqueeze(-1).masked_fill(ignored, 0);

        // Ignored rows are taken out before anything is computed from them: what they hold may be NaN.
        Tensor x = saved.Logits.to_type(type).masked_fill(ignored, 0);
        (Tensor z, Tensor slope) = Transform(objective, x);
        Tensor masked = z.eq(double.NegativeInfinity);
        Tensor lse = z.logsumexp(-1, keepdim: true);
        Tensor lp = z - lse;
        Tensor p = lp.exp();

        double eps = objective.LabelSmoothing;
        Tensor smoothing = zeros_like(z.detach()).masked_fill_(masked.logical_not(), eps / vocabulary);
        Tensor share = smoothing.sum(-1, keepdim: true) + (1 - eps);
        Tensor target = smoothing.scatter_add(-1, label, full_like(label, 1 - eps, type));
        Tensor dz = objective.NllWeight * graph.Weight(saved).unsqueeze(-1) * ((share * p) - target);
        if (objective.ZLossWeight > 0)
        {
            dz += 2 * objective.ZLossWeight * lse * p;
        }

        if (objective.KlWeight > 0)
        {
            dz += objective.KlWeight * Divergence(graph, saved, p, lp, masked, ignored, label);
        }

        dz = weights is null ? dz : dz * weights.unsqueeze(-1);
        Tensor gradient = graph.Scale(saved).Apply(dz * slope) * (graph.PerToken ? upstream.unsqueeze(-1) : upstream);
        return gradient.masked_fill(ignored, 0).to_type(saved.Logits.dtype);
    }

    /// <summary>The gradient of the divergence with respect to z, from whatever is known of the reference.</summary>
    private static Tensor Divergence(LossGraph graph, SavedTensors saved, Tensor p, Tensor lp, Tensor masked, Tensor ignored, Tensor label)
    {
        LossObjective objective = graph.Objective;
        if (graph.Inputs.Entries is var (indices, logs))
        {
            return OfEntries(objective.KlDirection, p, lp, indices, logs);
        }

        if (graph.Inputs.LabelLogProbabilities is Tensor known)
        {
            return Estimated(objective.KlEstimator, p, lp, known.unsqueeze(-1), label);
        }

        (Tensor zr, _) = Transform(objective, saved.Reference!.to_type(p.dtype).masked_fill(ignored, 0));
        Tensor lq = zr - zr.logsumexp(-1, keepdim: true);
        return objective.KlEstimator != KlEstimator.Exact ? Estimated(objective.KlEstimator, p, lp, lq.gather(-1, label), label)
            : objective.KlDirection == KlDirection.Forward ? p - lq.exp() : ReverseKl(p, lp, lq, masked);
    }

    /// <summary>The same over a reference's most likely entries and one for all others.</summary>
    private static Tensor OfEntries(KlDirection direction, Tensor p, Tensor lp, Tensor indices, Tensor lq)
    {
        Tensor q = lq.exp();
        Tensor among = lp.gather(-1, indices);
        Tensor isEntry = zeros_like(p.detach()).scatter(-1, indices, ones_like(lq)).to_type(ScalarType.Bool);
        Tensor rest = p.masked_fill(isEntry, 0).sum(-1, keepdim: true);
        Tensor referenceRest = (1 - q.sum(-1, keepdim: true)).clamp_min(0);
        Tensor none = rest.eq(0);
        if (direction == KlDirection.Forward)
        {
            Tensor elsewhere = p * (1 - (referenceRest / rest)).masked_fill(none, 0);
            return elsewhere.scatter(-1, indices, among.exp() - q);
        }

        Tensor ratio = among - lq;
        Tensor restRatio = (rest.log() - referenceRest.log()).masked_fill(none, 0);
        Tensor weighted = (among.exp() * ratio).masked_fill(among.eq(double.NegativeInfinity), 0);
        Tensor kl = weighted.sum(-1, keepdim: true) + (rest * restRatio);
        return (p * (restRatio - kl)).scatter(-1, indices, weighted - (among.exp() * kl));
    }

    /// <summary><c>p_i*(lp_i - lq_i - kl)</c>.</summary>
    private static Tensor ReverseKl(Tensor p, Tensor lp, Tensor lq, Tensor masked)
    {
        Tensor difference = (lp - lq).masked_fill(masked, 0);
        return p * (difference - (p * difference).sum(-1, keepdim: true));
    }

    /// <summary><c>slope*([i=y] - p_i)</c>, where the slope is an estimate's with respect to lp[y].</summary>
    private static Tensor Estimated(KlEstimator estimator, Tensor p, Tensor lp, Tensor labelLq, Tensor label)
    {
        Tensor d = labelLq - lp.gather(-1, label);
        Tensor slope = estimator switch
        {
            KlEstimator.K1 => ones_like(d),
            KlEstimator.K2 => -d,
            _ => 1 - d.exp(),
        };
        return slope * (zeros_like(p.detach()).scatter(-1, label, ones_like(d.detach())) - p);
    }

    /// <summary>z and dz/dx.</summary>
    private static (Tensor Z, Tensor Slope) Transform(LossObjective objective, Tensor x)
    {
        Tensor scaled = x * objective.LogitScale;
        double cap = objective.LogitSoftcap;
        if (cap == 0)
        {
            return (scaled, full_like(x.detach(), objective.LogitScale));
        }

        Tensor tanh = (scaled / cap).tanh();
        return (tanh * cap, (1 - tanh.square()) * objective.LogitScale);
    }
}
