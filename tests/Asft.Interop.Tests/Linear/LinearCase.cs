using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Interop.Tests.Linear;

/// <summary>
/// Inputs of a linear loss, and the exact answer: products and loss composed in float64, with torch's own autograd.
/// </summary>
internal sealed class LinearCase
{
    public const long Width = 12;
    public const long Vocabulary = 37;

    /// <param name="leading">Shape of the labels.</param>
    /// <param name="type">Dtype of hidden, weight and bias.</param>
    /// <param name="referenceType">Dtype of the reference's tensors; null for a reference that shares the policy's head.</param>
    /// <param name="bias">Whether the heads have one.</param>
    public LinearCase(long[] leading, ScalarType type = ScalarType.Float32, ScalarType? referenceType = null, bool bias = true)
    {
        Hidden = randn([.. leading, Width]).to(type).requires_grad_();
        Weight = randn(Vocabulary, Width).mul_(0.5).to(type).requires_grad_();
        Bias = bias ? randn(Vocabulary).to(type).requires_grad_() : null;
        ReferenceHidden = (Hidden.detach().to(ScalarType.Float32) + (0.3 * randn([.. leading, Width]))).to(referenceType ?? type);
        if (referenceType is ScalarType other)
        {
            ReferenceWeight = (Weight.detach().to(ScalarType.Float32) + (0.1 * randn(Vocabulary, Width))).to(other);
            ReferenceBias = bias ? randn(Vocabulary).to(other) : null;
        }

        Labels = randint(0, Vocabulary, leading, ScalarType.Int64);
    }

    public Tensor Hidden { get; set; }

    public Tensor Weight { get; set; }

    public Tensor? Bias { get; set; }

    public Tensor? ReferenceHidden { get; set; }

    public Tensor? ReferenceWeight { get; set; }

    public Tensor? ReferenceBias { get; set; }

    public TokenReference? Reference =>
        ReferenceHidden is null ? null : TokenReference.Hidden(ReferenceHidden, ReferenceWeight, ReferenceBias);

    public Tensor Labels { get; set; }

    /// <summary>Gives some labels the value that is ignored.</summary>
    public LinearCase Ignore(double share, long ignoreIndex = -100)
    {
        Labels = Labels.masked_fill(rand(Labels.shape) < share, ignoreIndex);
        return this;
    }

    public Tensor Loss(
        LossObjective? objective = null,
        Reduction reduction = Reduction.Mean,
        Tensor? tokenCount = null,
        bool shiftLabels = false,
        LinearLossOptions? options = null) => AsftFunctional.linear_asft_loss(
        Hidden, Weight, Labels, Bias, Reference, objective, reduction, tokenCount, shiftLabels, options: options);

    public AsftLossResult Metrics(
        LossObjective? objective = null, Reduction reduction = Reduction.Mean, bool shiftLabels = false, LinearLossOptions? options = null) =>
        AsftFunctional.linear_asft_loss_with_metrics(
            Hidden, Weight, Labels, Bias, Reference, objective, reduction, tokenCount: null, shiftLabels, options: options);

    /// <summary>The gradients of hidden, weight and bias (the last if there is one); they are cleared.</summary>
    public Tensor[] TakeGradients()
    {
        Tensor[] gradients = [.. Leaves().Select(leaf => leaf.grad!.clone())];
        foreach (Tensor leaf in Leaves())
        {
            leaf.grad = null;
        }

        return gradients;
    }

    /// <summary>Loss and gradients in float64 for an upstream gradient of the shape of the loss.</summary>
    public (Tensor Loss, Tensor[] Gradients) Exact(
        LossObjective objective, Reduction reduction, Tensor upstream, bool shiftLabels = false, double? tokenCount = null)
    {
        Tensor[] leaves = [.. Leaves().Select(leaf => leaf.detach().to(ScalarType.Float64).requires_grad_())];
        Tensor logits = leaves[0].matmul(leaves[1].t());
        if (Bias is not null)
        {
            logits += leaves[2];
        }

        Tensor? reference = null;
        if (ReferenceHidden is not null)
        {
            Tensor? bias = ReferenceWeight is null ? Bias : ReferenceBias;
            reference = ReferenceHidden.detach().to(ScalarType.Float64).matmul((ReferenceWeight ?? Weight).detach().to(ScalarType.Float64).t());
            reference = bias is null ? reference : reference + bias.detach().to(ScalarType.Float64);
        }

        Tensor labels = shiftLabels ? ComposedLoss.Shift(Labels, objective.IgnoreIndex) : Labels;
        Tensor loss = ComposedLoss.Reduce(ComposedLoss.Tokens(logits, labels, reference, objective), labels, objective, reduction, tokenCount);
        (loss * upstream.to(ScalarType.Float64)).sum().backward();
        return (loss.detach(), [.. leaves.Select(leaf => leaf.grad!)]);
    }

    private IEnumerable<Tensor> Leaves() => Bias is null ? [Hidden, Weight] : [Hidden, Weight, Bias];
}
