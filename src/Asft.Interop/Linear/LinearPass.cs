using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// One pass over the rows that count, block by block: logits, the fused kernel in place on them, and from the gradient that it
/// leaves there the products that lead back to the inputs. Autograd must be off.
/// </summary>
internal static unsafe class LinearPass
{
    /// <summary>Runs the pass.</summary>
    /// <param name="kernel">The kernel.</param>
    /// <param name="objective">The objective.</param>
    /// <param name="inputs">The inputs; the reference is read if its hidden states are there.</param>
    /// <param name="rows">The rows that count.</param>
    /// <param name="options">The memory to spend.</param>
    /// <param name="tokens">Where the tokens' results go; null in a backward pass.</param>
    /// <param name="gradients">
    /// Where gradients go; null if nobody wants them, and then no more than the logits is computed.
    /// </param>
    /// <param name="scale">Factor of the gradient.</param>
    /// <param name="upstream">A further factor for each counted token, in the accumulator's dtype; null for 1.</param>
    public static void Run(
        ITokenLossKernel kernel,
        LossObjective objective,
        LinearInputs inputs,
        CountedRows rows,
        LinearLossOptions options,
        LinearTokens? tokens,
        LinearGradients? gradients,
        double scale,
        Tensor? upstream = null)
    {
        if (rows.Count == 0)
        {
            return;
        }

        using DisposeScope buffers = NewDisposeScope();
        var workspace = new Workspace(inputs, options, rows.Count);
        Tensor hidden = Flatten(inputs.Hidden);
        Tensor? referenceHidden = inputs.ReferenceHidden is null ? null : Flatten(inputs.ReferenceHidden);
        Tensor labels = rows.Labels(hidden.device);
        for (long first = 0; first < rows.Count; first += workspace.BlockRows)
        {
            using DisposeScope block = NewDisposeScope();
            long count = Math.Min(workspace.BlockRows, rows.Count - first);
            (Tensor input, Tensor logits, Tensor? reference) = workspace.Fill(hidden, referenceHidden, rows, first, count);
            LogitRows policy = LogitRows.Of(logits);
            TokenProblem problem = policy.Problem(
                objective, (long*)TensorMemory.Pointer(labels) + first, count, reference is null ? default : LogitRows.Of(reference).Matrix);
            TokenGradient gradient = gradients is null ? default : new TokenGradient
            {
                Logits = policy.Matrix,
                Scale = scale,
                Upstream = upstream is null ? null : (byte*)TensorMemory.Pointer(upstream) + (first * upstream.element_size()),
                UpstreamStride = 1,
            };
            kernel.Forward(problem, tokens?.Outputs(first, reference is not null) ?? default, gradient);
            gradients?.Add(workspace.Head, rows, first, input, logits);
        }
    }

    /// <summary>Rows <c>[N, d]</c>; a copy only if the leading dimensions do not fold into one.</summary>
    private static Tensor Flatten(Tensor hidden) => hidden.detach().reshape(-1, hidden.size(-1));
}
