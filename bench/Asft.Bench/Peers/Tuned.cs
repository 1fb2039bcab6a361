using Asft.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Asft.Bench.Peers;

/// <summary>
/// The losses as fast as torch operations were found to make them: no autograd but the gradient's own formula; chunks of rows that
/// stay in the cache between operations and whose buffers the allocator hands out again; one fused softmax per tensor, and everything
/// else from it (log-sum-exp from the two maxima, KL from dot products); ignored rows left out; the gradient over the logits.
/// </summary>
/// <remarks>
/// Tried and slower, for ASFT on [1000, 32000]: log_softmax and exp in place of softmax (1.5 x the time), exp in place with sums of one's
/// own (1.2 x), chunks of 1 MB or 8 MB (1.2 x), no chunks (1.7 x and more), .NET threads over the chunks with one torch thread each (the same).
/// </remarks>
public static class Tuned
{
    private const long ChunkBytes = 4 << 20;
    private static readonly long[] s_last = [-1];

    /// <summary>The loss, under no_grad.</summary>
    /// <param name="objective">The objective; of its options only weighting and KL are looked at.</param>
    /// <param name="logits">Policy logits [N, V].</param>
    /// <param name="labels">Labels [N]; -100 is ignored.</param>
    /// <param name="referenceLogits">Reference logits [N, V], where the objective needs them.</param>
    /// <param name="gradient">Whether the gradient takes the place of the logits.</param>
    /// <returns>The mean token loss.</returns>
    public static Tensor Loss(LossObjective objective, Tensor logits, Tensor labels, Tensor? referenceLogits, bool gradient)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor counted = labels.ne(-100).nonzero().squeeze(-1);
        long rows = counted.size(0);
        bool all = rows == labels.size(0);
        long chunk = Math.Max(1, ChunkBytes / sizeof(float) / logits.size(1));
        Tensor total = zeros(1, device: logits.device);
        for (long first = 0; first < rows; first += chunk)
        {
            using DisposeScope inner = NewDisposeScope();
            long count = Math.Min(chunk, rows - first);
            Tensor index = counted.narrow(0, first, count);
            Tensor Rows(Tensor tensor) => (all ? tensor.narrow(0, first, count) : tensor.index_select(0, index)).to(ScalarType.Float32);

            Tensor x = Rows(logits);
            Tensor label = labels.index_select(0, index).unsqueeze(-1);
            total.add_(Chunk(objective, x, label, referenceLogits is null ? null : Rows(referenceLogits), gradient ? rows : 0));
            if (gradient && !(all && logits.dtype == ScalarType.Float32))
            {
                logits.index_copy_(0, index, x.to(logits.dtype));
            }
        }

        if (gradient && !all)
        {
            logits.index_fill_(0, labels.eq(-100).nonzero().squeeze(-1), 0);
        }

        return total.div_(rows).MoveToOuterDisposeScope();
    }

    /// <summary>The sum of a chunk's losses; with <paramref name="mean"/> above 0, x becomes its gradient, for a mean over so many.</summary>
    private static Tensor Chunk(LossObjective objective, Tensor x, Tensor label, Tensor? r, long mean)
    {
        double beta = r is null ? 0 : objective.KlWeight;
        Tensor p = x.softmax(-1);
        Tensor lse = LogSumExp(x, p);
        Tensor nll = lse - x.gather(-1, label);
        Tensor? weight = objective.Weighting == TokenWeighting.Probability ? nll.neg().exp_() : null;
        Tensor loss = weight is null ? nll : weight * nll;
        Tensor labelTerm = weight ?? ones_like(nll);

        if (beta == 0)
        {
            if (mean > 0)
            {
                x.copy_(p).mul_(labelTerm / mean);
            }
        }
        else if (objective.KlDirection == KlDirection.Forward)
        {
            Tensor q = r!.softmax(-1);
            Tensor kl = (Dot(q, r) - Dot(q, x)).unsqueeze(-1).add_(lse).sub_(LogSumExp(r, q));
            loss = loss.add(kl, beta);
            if (mean > 0)
            {
                x.copy_(p).mul_((labelTerm + beta) / mean);
                x.addcmul_(q, full(1, -beta / mean, device: x.device), 1);
            }
        }
        else
        {
            Tensor difference = lse - LogSumExp(r!, r!.softmax(-1));
            Tensor ratio = x - r!; // log p/q, but for a constant of each row
            Tensor kl = Dot(p, ratio).unsqueeze(-1).sub_(difference);
            loss = loss.add(kl, beta);
            if (mean > 0)
            {
                ratio.sub_(difference + kl - (labelTerm / beta)).mul_(beta / mean);
                x.copy_(p).mul_(ratio);
            }
        }

        if (mean > 0)
        {
            x.scatter_add_(-1, label, labelTerm / -mean);
        }

        return loss.sum();
    }

    private static Tensor Dot(Tensor a, Tensor b) => linalg.vecdot(a, b, -1, null!);

    /// <summary>The largest probability is exp(max - lse).</summary>
    private static Tensor LogSumExp(Tensor logits, Tensor probabilities) =>
        logits.amax(s_last, true).sub_(probabilities.amax(s_last, true).log_());
}
