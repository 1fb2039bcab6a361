using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>Many small steps: whether memory grows.</summary>
internal static class Endurance
{
    private const int MostKiB = 16 << 10;

    /// <summary>
    /// Makes steps, and fails where the last three quarters end with more tensors or memory than they began with: until then the runtime
    /// compiles its code better and better, and its heap finds its size.
    /// </summary>
    public static void Run(IProcessGroup group, int steps)
    {
        int warmUp = steps / 4;
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

            if (step == warmUp)
            {
                (tensors, resident) = (Tensor.TotalCount, Environment.WorkingSet >> 10);
            }
        }

        long more = (Environment.WorkingSet >> 10) - resident;
        Console.WriteLine(FormattableString.Invariant($"rank {group.Rank}: {resident} KiB after {warmUp} steps, {more} more after {steps}"));
        Expect.That(Tensor.TotalCount <= tensors, $"{Tensor.TotalCount} tensors after {steps} steps, {tensors} after {warmUp}");
        Expect.That(more < MostKiB, $"{more} KiB more after {steps} steps than after {warmUp}");
    }
}
