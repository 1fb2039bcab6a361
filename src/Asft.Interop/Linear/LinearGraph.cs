using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>The backward pass of a linear loss: the gradients that are there already, multiplied and rounded, or new ones from its inputs.</summary>
internal sealed class LinearGraph : GradientGraph
{
    private readonly GradientNeeds _needs;
    private readonly ScalarType[] _types;
    private readonly bool[] _present;

    /// <summary>Prepares the inputs for being saved.</summary>
    /// <param name="inputs">The inputs; the reference only if the objective reads it.</param>
    /// <param name="needs">Which of them need a gradient.</param>
    public LinearGraph(LinearInputs inputs, GradientNeeds needs)
    {
        _needs = needs;
        _types = [.. needs.Select(inputs).Select(tensor => tensor.dtype)];
        List<Tensor?> toSave = inputs.ToSave(needs.Hidden, needs.Weight, needs.Bias);
        _present = [.. toSave.Select(tensor => tensor is not null)];
        Saved = [.. toSave.OfType<Tensor>()];
    }

    /// <inheritdoc/>
    public override string Function => nameof(AsftFunctional.linear_asft_loss);

    public required ITokenLossKernel Kernel { get; init; }

    public required LossObjective Objective { get; init; }

    public required LinearLossOptions Options { get; init; }

    public required CountedRows Rows { get; init; }

    /// <summary>The exchange with the ranks that have other rows of the head; null where this one has all.</summary>
    public required ShardedRows? Sharded { get; init; }

    /// <summary>Factor of every row: 1/tokens for a mean, otherwise 1.</summary>
    public required double Scale { get; init; }

    /// <summary>One upstream gradient per token, rather than one for all.</summary>
    public required bool PerToken { get; init; }

    /// <inheritdoc/>
    public override List<Tensor> ComputeGradients(Tensor upstream)
    {
        if (is_grad_enabled())
        {
            throw new NotSupportedException(
                "create_graph differentiates the gradient, which a linear loss computes without a graph; use asft_loss on logits for that.");
        }

        List<Tensor> gradients = !PerToken && TakeGradients() is { } computed
            ? [.. computed.Select((gradient, i) => Multiplied(gradient, upstream, isHidden: _needs.Hidden && i == 0))]
            : Compute(UnpackSaved(), upstream);
        return [.. gradients.Zip(_types, Rounded)];
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        Rows.Dispose();
    }

    /// <summary>
    /// A gradient, multiplied where it is, by a kernel: that reads the factor where it is, does nothing if it is 1, and leaves the zeros of rows that do
    /// not count alone where it is infinite.
    /// </summary>
    private unsafe Tensor Multiplied(Tensor gradient, Tensor upstream, bool isHidden)
    {
        if (gradient.numel() == 0)
        {
            return gradient;
        }

        Tensor rows = gradient.view(-1, gradient.size(-1));
        Tensor zero = zeros([isHidden ? Rows.Count : rows.size(0)], ScalarType.Int64, gradient.device);
        LossObjective objective = LossObjective.Sft;
        Tensor labels = isHidden ? Rows.Spread(zero, [Rows.Total], objective.IgnoreIndex) : zero;
        LogitMatrix matrix = LogitRows.Of(rows).Matrix;
        Kernel.Rescale(
            new TokenProblem
            {
                Objective = objective,
                Rows = rows.size(0),
                Vocabulary = rows.size(1),
                Logits = matrix,
                Labels = (long*)TensorMemory.Pointer(labels),
            },
            new TokenGradient { Logits = matrix, Upstream = TensorMemory.Pointer(upstream) });
        return gradient;
    }

    private List<Tensor> Compute(List<Tensor> saved, Tensor upstream)
    {
        int next = 0;
        LinearInputs inputs = LinearInputs.FromSaved([.. _present.Select(present => present ? saved[next++] : null)]);
        Tensor factors = PerToken ? DeviceServices.Current.Rows(upstream.reshape(-1), Rows.Places) : upstream;
        var gradients = new LinearGradients(inputs, _needs, Rows);
        TokenTensors? tokens = Sharded is null ? null : new(
            TensorMemory.Empty([Rows.Count], inputs.Accumulator, inputs.Hidden.device), inputs.Accumulator,
            metrics: false, statistics: false, backward: true, losses: false);
        new LinearPass(Kernel, Objective, inputs, Rows, Options, Sharded).Forward(tokens, gradients, Scale, factors);
        return gradients.ToList();
    }

    private static Tensor Rounded(Tensor gradient, ScalarType type) =>
        gradient.dtype == type ? gradient.detach() : TensorPool.Empty(gradient.shape, type, gradient.device).copy_(gradient);
}
