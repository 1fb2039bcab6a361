using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace Asft.Distributed.Ranks;

/// <summary>What every rank is told alike: that one of them calls the loss in another way, or that a label is none.</summary>
internal static class Refusals
{
    public static void Run(IProcessGroup group)
    {
        var test = new TokenCase(group, LossObjective.Sft, rows: 6, vocabulary: 20, seed: 1);
        Tensor logits = test.Own(test.Logits);
        bool isLast = group.Rank == group.Size - 1;
        Tensor outside = test.Labels.clone();
        outside[0, 1] = 20;
        Throws<ArgumentOutOfRangeException>("labels[0, 1]", () => Loss(labels: outside));
        Throws<ArgumentException>("which is more than are left", () => Loss(shard: new VocabularyShard(group, test.First, test.First + test.Columns - 1)));
        Throws<NotSupportedException>("create_graph", () =>
        {
            // Torch's engine hides what a backward pass throws.
            Tensor leaf = logits.clone().requires_grad_();
            try
            {
                Loss(leaf).backward(create_graph: true);
            }
            catch (System.Runtime.InteropServices.ExternalException) when (AsftRuntime.LastBackwardError is { } error)
            {
                throw error;
            }
        });
        if (group.Size == 1)
        {
            return;
        }

        Throws<InvalidOperationException>("a number of rows of 4", () => Loss(isLast ? logits.narrow(1, 0, 2) : logits, isLast ? test.Labels.narrow(1, 0, 2) : test.Labels));
        Throws<InvalidOperationException>("logits of dtype", () => Loss(isLast ? logits.to(ScalarType.Float32) : logits));
        Throws<InvalidOperationException>("another objective", () => Loss(objective: isLast ? LossObjective.Dft : LossObjective.Sft));
        Throws<InvalidOperationException>("a reduction", () => Loss(reduction: isLast ? Reduction.Sum : Reduction.Mean));
        Throws<InvalidOperationException>("another set of labels", () => Loss(labels: isLast ? test.Labels.flip(1) : test.Labels));
        Throws<InvalidOperationException>("gradients", () => Loss(isLast ? logits.clone().requires_grad_() : logits));
        Throws<InvalidOperationException>("each column once", () => Loss(shard: new VocabularyShard(group, 0, 20)));

        Throws<InvalidOperationException>("other parameters", () => new DataParallel(group, [zeros(isLast ? 2 : 3)]).Dispose());

        // After all that, the ranks are still together.
        Expect.SameBits(group, Loss(), "loss after refusals");

        Tensor Loss(
            Tensor? own = null, Tensor? labels = null, LossObjective? objective = null, Reduction reduction = Reduction.Mean, VocabularyShard? shard = null) =>
            AsftFunctional.asft_loss(
                own ?? logits, labels ?? test.Labels, objective: objective ?? LossObjective.Sft, reduction: reduction, shard: shard ?? test.Shard);
    }

    private static void Throws<T>(string says, Action action)
        where T : Exception
    {
        try
        {
            action();
        }
        catch (T error) when (error.Message.Contains(says, StringComparison.Ordinal))
        {
            return;
        }

        Expect.That(false, $"Nothing was refused with \"{says}\"");
    }
}
