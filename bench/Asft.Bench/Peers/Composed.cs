using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Peers;

/// <summary>The losses as one writes them today in plain TorchSharp. Temporary tensors belong to the caller's dispose scope.</summary>
public static class Composed
{
    /// <summary>ASFT with forward KL and no ignored labels.</summary>
    /// <param name="logits">Policy logits [N, V].</param>
    /// <param name="labels">Labels [N], none ignored.</param>
    /// <param name="referenceLogits">Reference logits [N, V].</param>
    /// <param name="klWeight">Weight of the KL divergence.</param>
    /// <returns>The mean token loss, with its graph.</returns>
    public static Tensor Asft(Tensor logits, Tensor labels, Tensor referenceLogits, double klWeight = 0.05) =>
        Loss(LossObjective.Asft(klWeight), logits, labels, referenceLogits);

    /// <summary>SFT, DFT, SFT+KL or ASFT. Half-precision logits go to float32 first, as trainers do for the sake of the result.</summary>
    /// <param name="objective">The objective; of its options only weighting and KL are looked at.</param>
    /// <param name="logits">Policy logits [N, V].</param>
    /// <param name="labels">Labels [N]; -100 is ignored.</param>
    /// <param name="referenceLogits">Reference logits [N, V], where the objective needs them.</param>
    /// <returns>The mean token loss, with its graph.</returns>
    public static Tensor Loss(LossObjective objective, Tensor logits, Tensor labels, Tensor? referenceLogits)
    {
        logits = AtLeastFloat32(logits);
        bool weighted = objective.Weighting == TokenWeighting.Probability;
        if (!weighted && objective.KlWeight == 0)
        {
            return functional.cross_entropy(logits, labels);
        }

        Tensor counts = labels.ne(-100);
        Tensor loss = functional.cross_entropy(logits, labels, reduction: Reduction.None);
        if (weighted)
        {
            Tensor label = labels.clamp(0).unsqueeze(-1);
            Tensor weight = functional.softmax(logits, -1).gather(-1, label).squeeze(-1).detach();
            loss = weight * loss;
        }

        if (objective.KlWeight > 0)
        {
            loss += objective.KlWeight * Divergence(objective.KlDirection, logits, AtLeastFloat32(referenceLogits!)) * counts;
        }

        return loss.sum() / counts.sum();
    }

    private static Tensor Divergence(KlDirection direction, Tensor logits, Tensor referenceLogits)
    {
        Tensor policy = functional.log_softmax(logits, -1);
        Tensor divergence = direction == KlDirection.Forward
            ? functional.kl_div(policy, functional.softmax(referenceLogits, -1), log_target: false, reduction: Reduction.None)
            : functional.kl_div(functional.log_softmax(referenceLogits, -1), policy, log_target: true, reduction: Reduction.None);
        return divergence.sum(-1);
    }

    private static Tensor AtLeastFloat32(Tensor logits) =>
        logits.dtype is ScalarType.BFloat16 or ScalarType.Float16 ? logits.to(ScalarType.Float32) : logits;
}
