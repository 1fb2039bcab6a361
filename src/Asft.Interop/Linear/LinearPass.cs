using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Interop;

/// <summary>
/// One pass over the rows that count, block by block: logits, the kernel in place on them, and from the gradient that it leaves there the
/// products that lead back to the inputs. Autograd must be off.
/// </summary>
/// <param name="kernel">The kernel.</param>
/// <param name="objective">The objective.</param>
/// <param name="inputs">The inputs; the reference is read if its hidden states are there.</param>
/// <param name="rows">The rows that count.</param>
/// <param name="options">The memory to spend.</param>
/// <param name="sharded">The exchange with the ranks that have other rows of the head; null where this one has all.</param>
internal sealed unsafe class LinearPass(
    ITokenLossKernel kernel, LossObjective objective, LinearInputs inputs, CountedRows rows, LinearLossOptions options, ShardedRows? sharded)
{
    /// <summary>The loss, and the gradients if anybody wants them, in one pass.</summary>
    /// <param name="tokens">Where the tokens' results go; null in a backward pass over all of a head.</param>
    /// <param name="gradients">Where gradients go; null if nobody wants them, and then no more than the logits is computed.</param>
    /// <param name="scale">Factor of the gradient.</param>
    /// <param name="upstream">A further factor, for each counted token or without dimensions for all, in the accumulator's dtype; null for 1.</param>
    public void Forward(TokenTensors? tokens, LinearGradients? gradients, double scale, Tensor? upstream = null) =>
        Run(gradients, (problem, logits, first) =>
        {
            TokenOutputs outputs = tokens?.Outputs(first) ?? default;
            TokenGradient wanted = Wanted(gradients, logits, first, scale, upstream);
            if (sharded is null)
            {
                kernel.Forward(problem, outputs, wanted);
            }
            else
            {
                sharded.Forward(problem, outputs, wanted, tokens!.State!, first);
            }
        });

    /// <summary>The states of the rows and their statistics.</summary>
    public void Summarize(TokenTensors tokens) =>
        Run(gradients: null, (problem, _, first) => CallerWeighting.Summarize(kernel, problem, tokens, sharded, first));

    /// <summary>The loss from states of the rows, without another pass, and the gradients if anybody wants them, in one.</summary>
    public void Finish(TokenTensors tokens, LinearGradients? gradients, double scale)
    {
        if (gradients is not null)
        {
            Run(gradients, (problem, logits, first) => CallerWeighting.Finish(
                kernel, problem, tokens.Outputs(first), Wanted(gradients, logits, first, scale, upstream: null)));
        }
        else if (rows.Count > 0)
        {
            // The logits are gone. None is read; only that there were some has to be said.
            LogitMatrix gone = new(tokens.StateAt(), TensorMemory.TypeOf(tokens.Loss!)!.Value, inputs.Vocabulary);
            kernel.Finish(
                rows.Tokens.Problem(objective, inputs.Vocabulary, gone, inputs.ReferenceHidden is null ? default : gone),
                tokens.Outputs());
        }
    }

    private delegate void BlockWork(TokenProblem problem, LogitMatrix logits, long first);

    private void Run(LinearGradients? gradients, BlockWork work)
    {
        if (rows.Count == 0)
        {
            return;
        }

        using DisposeScope buffers = NewDisposeScope();
        var workspace = new Workspace(inputs, options, rows.Count, hasGradient: gradients is not null);
        if (sharded is not null)
        {
            workspace.Limit(sharded.Least(workspace.BlockRows));
        }

        Tensor hidden = Flatten(inputs.Hidden);
        Tensor? referenceHidden = inputs.ReferenceHidden is null ? null : Flatten(inputs.ReferenceHidden);
        for (long first = 0; first < rows.Count; first += workspace.BlockRows)
        {
            using DisposeScope block = NewDisposeScope();
            long count = Math.Min(workspace.BlockRows, rows.Count - first);
            (Tensor input, Tensor logits, Tensor? reference) = workspace.Fill(hidden, referenceHidden, rows, first, count);
            LogitMatrix policy = LogitRows.Of(logits).Matrix;
            LogitMatrix other = reference is null ? default : LogitRows.Of(reference).Matrix;
            work(rows.Tokens.Problem(objective, inputs.Vocabulary, policy, other, first, count), policy, first);
            gradients?.Add(workspace.Head, rows, first, input, logits);
        }

        if (sharded is not null)
        {
            gradients?.SumHidden(sharded.Group);
        }
    }

    private static TokenGradient Wanted(LinearGradients? gradients, LogitMatrix logits, long first, double scale, Tensor? upstream) =>
        gradients is null ? default : new TokenGradient
        {
            Logits = logits,
            Scale = scale,
            Upstream = TensorMemory.PointerOrNull(upstream, upstream?.dim() == 0 ? 0 : first),
            UpstreamStride = upstream?.dim() == 0 ? 0 : 1,
        };

    /// <summary>Rows <c>[N, d]</c>; a copy only if the leading dimensions do not fold into one.</summary>
    private static Tensor Flatten(Tensor hidden) => hidden.detach().reshape(-1, hidden.size(-1));
}
