using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>Writes checksums of losses and gradients, which two runs of a job, and all ranks as far as they have the same, have alike.</summary>
internal static class Bits
{
    public static void Run(IProcessGroup group)
    {
        foreach (LossObjective objective in (LossObjective[])
            [LossObjective.Dft, LossObjective.Asft(), LossObjective.SftKl(0.2) with { KlDirection = KlDirection.Reverse, LabelSmoothing = 0.1 }])
        {
            using var scope = NewDisposeScope();
            var test = new TokenCase(group, objective, rows: 40, vocabulary: 12_000, seed: 7);
            Tensor leaf = test.Own(test.Logits).to(ScalarType.Float32).contiguous().requires_grad_();
            Tensor reference = test.Own(test.Reference).to(ScalarType.Float32);
            Tensor loss = AsftFunctional.asft_loss(leaf.clone(), test.Labels, reference, objective, inPlace: true, shard: test.Shard);
            loss.backward();

            Tensor hidden = test.Logits.narrow(2, 0, 8).clamp(min: -4).to(ScalarType.Float32).contiguous().requires_grad_();
            Tensor head = ones(test.Columns, 8).cumsum(0).sin().requires_grad_();
            Tensor linear = AsftFunctional.linear_asft_loss(hidden, head, test.Labels, reference: TokenReference.Hidden(hidden.detach() * 0.9), objective: objective, shard: test.Shard);
            linear.backward();
            Expect.SameBits(group, loss, "loss");
            Expect.SameBits(group, linear, "linear loss");
            Expect.SameBits(group, hidden.grad!, "gradient of the hidden states");
            Console.WriteLine(FormattableString.Invariant(
                $"bits of rank {group.Rank}: {Of(loss):x} {Of(leaf.grad!):x} {Of(linear):x} {Of(hidden.grad!):x} {Of(head.grad!):x}"));
        }
    }

    private static long Of(Tensor tensor) => Checksum.Of([.. tensor.detach().contiguous().bytes.ToArray().Select(static value => (long)value)]);
}
