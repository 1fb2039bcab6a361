using Asft.Interop;
using Asft.Kernels;
using static TorchSharp.torch;

namespace Asft.Distributed.Ranks;

/// <summary>The figures of docs/distributed.md: to be run by hand, on a machine that does nothing else.</summary>
internal static class Measurements
{
    private const int Tokens = 1024;
    private const int Vocabulary = 32_000;
    private const int Repeats = 30;

    public static void Run(IProcessGroup group)
    {
        var measured = new MeasuredGroup(group);
        foreach ((string name, LossObjective objective) in ((string, LossObjective)[])[("SFT", LossObjective.Sft), ("ASFT", LossObjective.Asft())])
        {
            foreach (bool isShard in (bool[])[false, true])
            {
                Measure(measured, objective, isShard, FormattableString.Invariant($"{name} [{Tokens}, {Vocabulary}] {(isShard ? "shard" : "whole")}"));
            }
        }
    }

    /// <summary>Many small steps: whether memory grows.</summary>
    public static void Long(IProcessGroup group)
    {
        var test = new TokenCase(group, LossObjective.Asft(), rows: 16, vocabulary: 2000, seed: 1);
        Tensor leaf = test.Own(test.Logits).to(ScalarType.Float32).contiguous().requires_grad_();
        Tensor reference = test.Own(test.Reference).to(ScalarType.Float32).contiguous();
        Tensor shared = zeros(1000).requires_grad_();
        using var parallel = new DataParallel(group, [shared]);
        for (int step = 0; step <= 10_000; step++)
        {
            using (NewDisposeScope())
            {
                AsftFunctional.asft_loss(leaf, test.Labels, reference, shard: test.Shard).backward();
                parallel.TokenCount(test.Labels);
                parallel.SumGradients();
                leaf.grad!.zero_();
            }

            if (step % 2000 == 0)
            {
                Console.WriteLine(FormattableString.Invariant(
                    $"rank {group.Rank}, step {step}: {Environment.WorkingSet >> 10} KiB resident, {Tensor.TotalCount} tensors"));
            }
        }
    }

    private static void Measure(MeasuredGroup group, LossObjective objective, bool isShard, string name)
    {
        using var scope = NewDisposeScope();
        (VocabularyShard shard, long columns) = VocabularyShard.Even(group, Vocabulary);
        columns = isShard ? columns : Vocabulary;
        manual_seed(1);
        Tensor source = randn(Tokens, columns).requires_grad_();
        Tensor? reference = objective.NeedsReference ? randn(Tokens, columns) : null;
        Tensor labels = randint(0, Vocabulary, [Tokens]);
        List<double> own = [];
        List<double> waiting = [];
        for (int i = 0; i < Repeats; i++)
        {
            using var inner = NewDisposeScope();
            Tensor logits = source.clone();
            group.Barrier();
            group.Reset();
            double before = MeasuredGroup.ThreadMilliseconds;
            AsftFunctional.asft_loss(logits, labels, reference, objective, inPlace: true, shard: isShard ? shard : null);
            own.Add(MeasuredGroup.ThreadMilliseconds - before - group.Milliseconds);
            waiting.Add(group.Milliseconds);
        }

        Console.WriteLine(FormattableString.Invariant(
            $"rank {group.Rank}: {name}: {own.Order().ElementAt(Repeats / 2):F2} ms of its own (least {own.Min():F2}), {waiting.Order().ElementAt(Repeats / 2):F2} in {group.Count} collectives of {group.Bytes} bytes"));
    }
}
