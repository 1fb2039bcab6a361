using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Bench.Peers;

/// <summary>ASFT as one writes it today in plain TorchSharp.</summary>
public static class Composed
{
    /// <summary>The loss, with its graph. Temporary tensors belong to the caller's dispose scope.</summary>
    /// <param name="logits">Policy logits [N, V].</param>
    /// <param name="labels">Labels [N], none ignored.</param>
    /// <param name="referenceLogits">Reference logits [N, V].</param>
    /// <param name="klWeight">Weight of the KL divergence.</param>
    public static Tensor Asft(Tensor logits, Tensor labels, Tensor referenceLogits, double klWeight = 0.05)
    {
        Tensor nll = functional.cross_entropy(logits, labels, reduction: Reduction.None);
        Tensor logProbabilities = functional.log_softmax(logits, -1);
        Tensor weight = functional.softmax(logits, -1).gather(-1, labels.unsqueeze(-1)).squeeze(-1).detach();
        Tensor reference = functional.softmax(referenceLogits, -1);
        Tensor kl = functional.kl_div(logProbabilities, reference, log_target: false, reduction: Reduction.None).sum(-1);
        return ((weight * nll) + (klWeight * kl)).mean();
    }
}
