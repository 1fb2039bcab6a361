using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.autograd;

namespace Asft.Interop;

/// <summary>The backward pass of a loss on logits: the gradient that is there already, or a new one from what the graph has saved.</summary>
internal sealed unsafe class LossGraph : GradientGraph
{
    private readonly double _denominator;
    private readonly bool _savesFactor;

    /// <summary>Prepares what is to be saved.</summary>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="labels">Its labels, one for each row.</param>
    /// <param name="tokens">Its per-token results.</param>
    /// <param name="scale">What every row's gradient is scaled with.</param>
    /// <param name="isEager">See <see cref="IsEager"/>.</param>
    /// <param name="write">See <see cref="Write"/>.</param>
    public LossGraph(LossArguments arguments, Tensor labels, TokenTensors tokens, TokenScale scale, bool isEager, InPlaceWrite? write)
    {
        Objective = arguments.Objective;
        IsEager = isEager;
        Write = write;
        _denominator = scale.Denominator;
        bool isFinal = isEager && OverwritesLogits; // no logits are left to compute another gradient from
        _savesFactor = scale.Factor is not null && !isFinal;
        Saved = isFinal ? [] : SavedTensors.List(arguments, labels, tokens, scale, OverwritesLogits ? InPlaceWrite.Alias(arguments.Logits) : arguments.Logits);
    }

    /// <inheritdoc/>
    public override string Function => nameof(AsftFunctional.asft_loss);

    public required ITokenLossKernel Kernel { get; init; }

    public LossObjective Objective { get; }

    /// <summary>One upstream gradient per row, rather than one for all.</summary>
    public required bool PerToken { get; init; }

    /// <summary>The gradient was computed along with the loss, and the <see cref="GradientRelease"/> has saved it.</summary>
    public bool IsEager { get; }

    /// <summary>
    /// The logits, where the gradient takes their place; the last tensor that the <see cref="GradientRelease"/> has saved is their
    /// <see cref="InPlaceWrite.Witness"/> then.
    /// </summary>
    public InPlaceWrite? Write { get; }

    /// <summary>The gradient takes the place of the logits.</summary>
    public bool OverwritesLogits => Write is not null;

    /// <summary>What every row's gradient is scaled with.</summary>
    public TokenScale Scale(SavedTensors saved) => saved.Factor is null ? TokenScale.DividedBy(_denominator) : TokenScale.Times(saved.Factor);

    /// <inheritdoc/>
    public override List<Tensor> ComputeGradients(AutogradContext context, Tensor upstream)
    {
        if (is_grad_enabled())
        {
            return OverwritesLogits
                ? throw new NotSupportedException("create_graph needs logits that are still there; use asft_loss with inPlace: false.")
                : [ComposedGradient.Of(this, SavedBy(context), upstream)];
        }

        bool isFirst = TryTake();
        List<Tensor> held = isFirst ? ReleaseContext!.get_saved_variables() : [];
        if (Write is { } write)
        {
            if (!isFirst)
            {
                throw new InvalidOperationException("With inPlace, the gradient has replaced the logits, and there is no second backward; use inPlace: false.");
            }

            write.Finish();
            write.ThrowIfChanged(witness: held[^1]);
        }

        Tensor gradient = isFirst && IsEager
            ? Multiply(context, gradient: held[0], labels: held[1], upstream)
            : Compute(SavedBy(context), upstream, held.LastOrDefault());
        return [gradient.detach()];
    }

    /// <summary>
    /// Whether multiplying a rounded gradient by a scalar gives what rounding the product once would: always near enough in the types that
    /// arithmetic is done in; in bfloat16, for powers of two, where the host can know.
    /// </summary>
    private static bool IsExact(ITokenLossKernel kernel, ScalarType type, Tensor upstream)
    {
        if (kernel.IsAsynchronous)
        {
            return type != ScalarType.BFloat16;
        }

        double factor = TensorMemory.First(upstream);
        return double.IsFinite(factor) && (type != ScalarType.BFloat16 || (BitConverter.DoubleToInt64Bits(factor) & 0xF_FFFF_FFFF_FFFF) == 0);
    }

    /// <summary>Makes of the gradient that was computed along with the loss the one for an upstream gradient, a scalar.</summary>
    private Tensor Multiply(AutogradContext context, Tensor gradient, Tensor labels, Tensor upstream)
    {
        if (labels.numel() == 0)
        {
            return gradient;
        }

        LogitRows rows = LogitRows.Of(gradient);
        if (OverwritesLogits || IsExact(Kernel, gradient.dtype, upstream))
        {
            Kernel.Rescale(
                rows.Problem(Objective, labels, reference: default), TokenScale.DividedBy(1).Gradient(rows.Matrix, upstream));
            return gradient;
        }

        SavedTensors saved = SavedBy(context);
        Kernel.BackwardUnlessOne(
            Problem(saved, LogitRows.Of(saved.Logits), gradient), saved.Outputs, Scale(saved).Gradient(rows.Matrix, upstream), TensorMemory.Pointer(upstream));
        return gradient;
    }

    /// <summary>The gradient from the saved logits, with the upstream gradient known.</summary>
    private Tensor Compute(SavedTensors saved, Tensor upstream, Tensor? witness)
    {
        LogitRows rows = LogitRows.Of(saved.Logits);
        Tensor gradient = GradientBuffer.For(saved.Logits, rows, OverwritesLogits);
        Write?.Overwrite(witness!);
        if (saved.Labels.numel() > 0)
        {
            Kernel.Backward(Problem(saved, rows, gradient), saved.Outputs, Scale(saved).Gradient(LogitRows.Of(gradient).Matrix, upstream));
        }

        return gradient;
    }

    /// <summary>The problem of the forward pass again.</summary>
    private TokenProblem Problem(SavedTensors saved, LogitRows rows, Tensor gradient) => rows.Problem(
        Objective, saved.Labels, saved.Reference is null ? default : LogitRows.Beside(saved.Reference, OverwritesLogits ? gradient : null));

    /// <summary>The saved tensors, from the context that has saved them.</summary>
    private SavedTensors SavedBy(AutogradContext context) => SavedTensors.Of(context.get_saved_variables(), _savesFactor);
}
