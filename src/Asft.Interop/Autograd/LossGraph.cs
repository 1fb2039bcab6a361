using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The backward pass of a loss on logits: the gradient that is there already, or a new one from what the graph has saved.</summary>
internal sealed unsafe class LossGraph : GradientGraph
{
    private const long LargeBytes = 64 << 10;

    private readonly double _denominator;
    private readonly int _present;

    /// <summary>Prepares what is to be saved.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="arguments">The arguments of the loss.</param>
    /// <param name="inputs">What it takes of each token besides logits, which is the graph's from now on.</param>
    /// <param name="tokens">Its per-token results.</param>
    /// <param name="scale">What every row's gradient is scaled with.</param>
    /// <param name="isEager">See <see cref="IsEager"/>.</param>
    /// <param name="write">See <see cref="Write"/>.</param>
    public LossGraph(
        ITokenLossKernel kernel, LossArguments arguments, TokenInputs inputs, TokenTensors tokens, TokenScale scale, bool isEager, InPlaceWrite? write)
    {
        Inputs = inputs;
        PerToken = arguments.Tokens.Reduction == TorchSharp.torch.nn.Reduction.None;
        Kernel = kernel;
        Objective = arguments.Tokens.Objective;
        IsEager = isEager;
        Write = write;
        _denominator = scale.Denominator;
        IsLarge = OverwritesLogits || arguments.Logits.numel() * arguments.Logits.element_size() >= LargeBytes; // in place, no copy of any size
        if (isEager && OverwritesLogits)
        {
            return; // no logits are left to compute another gradient from
        }

        SavedTensors saved = SavedTensors.Of(
            arguments, OverwritesLogits ? InPlaceWrite.Alias(arguments.Logits) : arguments.Logits, tokens, scale, NeedsResults(kernel, isEager, inputs));
        _present = saved.Present;
        Saved = saved.List;
    }

    /// <inheritdoc/>
    public override string Function => nameof(AsftFunctional.asft_loss);

    /// <inheritdoc/>
    public override bool IsLarge { get; }

    public ITokenLossKernel Kernel { get; }

    public LossObjective Objective { get; }

    /// <summary>One upstream gradient per row, rather than one for all.</summary>
    public bool PerToken { get; }

    /// <summary>The gradient was computed along with the loss.</summary>
    public bool IsEager { get; }

    /// <summary>
    /// The logits, where the gradient takes their place; the last of the <see cref="GradientGraph.Gradients"/> is their
    /// <see cref="InPlaceWrite.Witness"/> then.
    /// </summary>
    public InPlaceWrite? Write { get; }

    /// <summary>The gradient takes the place of the logits.</summary>
    public bool OverwritesLogits => Write is not null;

    /// <summary>
    /// Whether a backward pass needs results of the forward pass. After an eager gradient it is seldom that one computes another, which the
    /// kernel's forward does from the logits alone; only what is decided on a device has to be prepared, and what takes other ranks.
    /// </summary>
    public static bool NeedsResults(ITokenLossKernel kernel, bool isEager, TokenInputs inputs) => !isEager || kernel.IsAsynchronous || inputs.IsShard;

    /// <summary>What every row's gradient is scaled with.</summary>
    public TokenScale Scale(SavedTensors saved) => saved.Factor is null ? TokenScale.DividedBy(_denominator) : TokenScale.Times(saved.Factor);

    /// <summary>The label of each row, and what else there is of it.</summary>
    public TokenInputs Inputs { get; }

    /// <summary>The weight w of each token.</summary>
    public Tensor Weight(SavedTensors saved)
    {
        if (saved.Weight is not null)
        {
            return saved.Weight;
        }

        Tensor weight = TensorMemory.Empty(Inputs.Labels.Shape, TensorMemory.Accumulator(saved.Logits), saved.Logits.device);
        if (Inputs.Count > 0)
        {
            using IDisposable noGrad = no_grad();
            Kernel.Forward(Problem(saved, LogitRows.Of(saved.Logits), overwritten: null), new TokenOutputs { Weight = TensorMemory.Pointer(weight) }, default);
        }

        return weight;
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        Inputs.Dispose();
    }

    /// <inheritdoc/>
    public override List<Tensor> ComputeGradients(Tensor upstream)
    {
        if (is_grad_enabled())
        {
            return Inputs.IsShard
                ? throw new NotSupportedException("create_graph needs the logits of the whole vocabulary; this loss has a shard of them.")
                : OverwritesLogits
                ? throw new NotSupportedException("create_graph needs logits that are still there; use asft_loss with inPlace: false.")
                : [ComposedGradient.Of(this, UnpackTensors(), upstream)];
        }

        List<Tensor>? held = TakeGradients();
        if (Write is { } write)
        {
            if (held is null)
            {
                throw new InvalidOperationException("With inPlace, the gradient has replaced the logits, and there is no second backward; use inPlace: false.");
            }

            write.Finish();
            write.ThrowIfChanged(witness: held[^1]);
        }

        return [held is not null && IsEager ? Multiply(held[0], upstream) : Compute(upstream, held?.LastOrDefault())];
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
    private Tensor Multiply(Tensor gradient, Tensor upstream)
    {
        if (Inputs.Count == 0)
        {
            return gradient;
        }

        if (OverwritesLogits || IsExact(Kernel, gradient.dtype, upstream))
        {
            LogitRows rows = LogitRows.Of(gradient);
            Kernel.Rescale(
                Inputs.Problem(Objective, gradient.size(-1), rows.Matrix, reference: default), TokenScale.DividedBy(1).Gradient(rows.Matrix, upstream));
            return gradient;
        }

        Fill(gradient, UnpackTensors(), upstream, unlessOne: true);
        return gradient;
    }

    /// <summary>The gradient from the saved logits, with the upstream gradient known.</summary>
    private Tensor Compute(Tensor upstream, Tensor? witness)
    {
        SavedTensors saved = UnpackTensors();
        Tensor gradient = GradientBuffer.For(saved.Logits, LogitRows.Of(saved.Logits), OverwritesLogits);
        Write?.Overwrite(witness!);
        if (Inputs.Count > 0)
        {
            Fill(gradient, saved, upstream, unlessOne: false);
        }

        return gradient;
    }

    /// <summary>Computes the gradient.</summary>
    /// <param name="gradient">Where it goes.</param>
    /// <param name="saved">The saved tensors.</param>
    /// <param name="upstream">The upstream gradient.</param>
    /// <param name="unlessOne">Where the upstream gradient is 1, the gradient is there already.</param>
    private void Fill(Tensor gradient, SavedTensors saved, Tensor upstream, bool unlessOne)
    {
        TokenProblem problem = Problem(saved, LogitRows.Of(saved.Logits), OverwritesLogits ? gradient : null);
        TokenGradient wanted = Scale(saved).Gradient(LogitRows.Of(gradient).Matrix, upstream);
        if (!NeedsResults(Kernel, IsEager, Inputs))
        {
            Kernel.Forward(problem, default, wanted);
        }
        else if (unlessOne)
        {
            Kernel.BackwardUnlessOne(problem, saved.Outputs, wanted, TensorMemory.Pointer(upstream));
        }
        else
        {
            Kernel.Backward(problem, saved.Outputs, wanted);
        }
    }

    /// <summary>The problem of the forward pass again.</summary>
    private TokenProblem Problem(SavedTensors saved, LogitRows rows, Tensor? overwritten) => Inputs.Problem(
        Objective, saved.Logits.size(-1), rows.Matrix, saved.Reference is null ? default : LogitRows.Beside(saved.Reference, overwritten));

    private SavedTensors UnpackTensors() => SavedTensors.From(UnpackSaved(), _present);
}
