using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>Many small steps: whether memory grows.</summary>
internal static class Endurance
{
    private const int WarmUp = 100;
    private const int MostKiB = 16 << 10;

    /// <summary>Makes steps, and fails where the last have more tensors or memory than the first.</summary>
    public static void Run(IProcessGroup group, int steps)
    {
        var test = new TokenCase(group, LossObjective.Asft(), rows: 16, vocabulary: 2000, seed: 1);
        Tensor leaf = test.Own(test.Logits).to(ScalarType.Float32).contiguous().requires_grad_();
        Tensor reference = test.Own(test.Reference).to(ScalarType.Float32).contiguous();
        Tensor shared = zeros(1000).requires_grad_();
        using var parallel = new DataParallel(group, [shared]);
        long tensors = 0;
        long resident = 0;
        for (int step = 0; step <= steps; step++)
        {
            using (NewDisposeScope())
            {
                AsftFunctional.asft_loss(leaf, test.Labels, reference, shard: test.Shard).backward();
                parallel.TokenCount(test.Labels);
                parallel.SumGradients();
                leaf.grad!.zero_();
            }

            if (step == WarmUp)
            {
                (tensors, resident) = (Tensor.TotalCount, Environment.WorkingSet >> 10);
            }
        }

        long more = (Environment.WorkingSet >> 10) - resident;
        Console.WriteLine(FormattableString.Invariant($"rank {group.Rank}: {resident} KiB after {WarmUp} steps, {more} more after {steps}"));
        Expect.That(Tensor.TotalCount <= tensors, $"{Tensor.TotalCount} tensors after {steps} steps, {tensors} after {WarmUp}");
        Expect.That(more < MostKiB, $"{more} KiB more after {steps} steps than after {WarmUp}");
    }
}
